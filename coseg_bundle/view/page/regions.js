"use strict";
/* Regions that are saved: as they are read, and what two windows did to them put together. */

/* Numbers of a file that stays as it is are not compared: nobody could save others. */
function regionsOf({ features, fixed }) {
  return features.map(({ properties, geometry }) => (
    { name: properties?.name ?? "region", geometry, saved: fixed ? {} : numbersOf(properties?.measurements ?? {}) }));
}

/* Measurements by name; QuPath wrote them as a list before version 0.4. */
function numbersOf(measurements) {
  return Array.isArray(measurements) ? Object.fromEntries(measurements.map(({ name, value }) => [name, value])) : measurements;
}

/* The regions that stand after a change elsewhere: those that are saved there now, without what was removed here, and with
   what was drawn or named here, since both knew `known`. What one side changed and the other removed stays. */
function merged(known, there, here) {
  const [was, theirs, own] = [known, there, here].map(byPlace), isChanged = ([place, { name }]) => was.get(place)?.name !== name;
  const kept = [...theirs].filter(([place, one]) => own.has(place) || isChanged([place, one])).map(([place, one]) => (
    own.has(place) && isChanged([place, own.get(place)]) ? { ...one, name: own.get(place).name } : one));
  const beside = [...own].filter(([place, one]) => !theirs.has(place) && isChanged([place, one]));
  return [...kept, ...beside.map(([, one]) => one)];
}

/* Regions by their outlines, and by their number among those that have the same one. */
function byPlace(regions) {
  const counts = {};
  return new Map(regions.map((one) => {
    const outline = JSON.stringify(one.geometry);
    counts[outline] = (counts[outline] ?? 0) + 1;
    return [`${counts[outline]} ${outline}`, one];
  }));
}
