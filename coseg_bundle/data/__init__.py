"""Files, datalists and sampling."""
