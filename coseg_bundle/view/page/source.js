"use strict";
/* Where the page gets its data: from the server that it came from, or from the files of an exported folder. A page that
   was opened from the disk may load pictures and scripts only, so an exported answer is a script that hands it over. */

class Source {
  constructor() {
    this.exported = "exported" in document.documentElement.dataset;
    this.waiting = new Map();
  }

  url(path) { return path; }

  async json(path) { return JSON.parse(new TextDecoder().decode(await this.bytes(path))); }

  async bytes(path) {
    if (this.exported) return this.script(path);
    return (await this.asked(path)).arrayBuffer();
  }

  async send(method, path, content) {
    const headers = { "Content-Type": "application/json" };
    const answer = await this.asked(path, { method, headers, body: JSON.stringify(content ?? {}) });
    return answer.headers.get("Content-Type").startsWith("application/json") ? answer.json() : answer.blob();
  }

  /* An answer that is one; a refusal is an error with its sentence. */
  async asked(path, request) {
    const answer = await fetch(path, request).catch(() => {
      throw new Error("coseg view does not answer: it was stopped. Start it again, and open the address that it prints.");
    });
    if (!answer.ok) throw Object.assign(new Error(await sentenceOf(answer)), { status: answer.status });
    return answer;
  }

  script(path) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      this.waiting.set(path, resolve);
      element.onload = () => element.remove();
      element.onerror = () => { element.remove(); reject(new Error(`${path} is missing; export the page again.`)); };
      element.src = `${path}.js`;
      document.head.append(element);
    });
  }

  receive(path, text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    this.waiting.get(path)?.(bytes.buffer);
    this.waiting.delete(path);
  }
}

async function sentenceOf(answer) {
  try { return (await answer.json()).detail; } catch { return `The server answered ${answer.status}.`; }
}

const source = new Source();
