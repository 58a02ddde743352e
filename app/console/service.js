// The service over HTTP. Addresses are relative to the page, so a path before it does not matter.

const TIMEOUT_MS = 30_000;

/** What went wrong, in the words of RFC 9457. */
export class Problem extends Error {
  constructor({ code, status = 0, title = "", detail = "", retryable = false }) {
    super(detail || title || code);
    Object.assign(this, { code, status, title, retryable });
  }
}

export class Service {
  constructor(key, onCall = () => {}) {
    this.key = key;
    this.onCall = onCall;
    this.needsKey = false; // whether a call from elsewhere would need one
  }

  /** Make one call; returns the answer's JSON, null for none. Throws Problem. */
  async call(method, path, body, { quiet = false } = {}) {
    const headers = {};
    if (this.key.value) headers.authorization = `Bearer ${this.key.value}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const outcome = { method, path, body, status: 0, answer: null };
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const text = body === undefined ? undefined : JSON.stringify(body);
      const response = await fetch(path, { method, headers, body: text, signal });
      outcome.status = response.status;
      const answer = await response.text();
      outcome.answer = answer ? readJson(answer) : null;
    } catch (error) {
      if (!quiet) this.onCall(outcome);
      const late = error.name === "TimeoutError";
      throw new Problem({
        code: late ? "timeout" : "unreachable",
        title: late ? "The service did not answer in time" : "The service does not answer",
        retryable: true,
      });
    }
    if (!quiet) this.onCall({ ...outcome, answer: withoutSecrets(outcome.answer) });
    if (outcome.status >= 400) {
      const { status, answer } = outcome;
      throw new Problem({ code: `http_${status}`, title: `HTTP ${status}`, status, ...answer });
    }
    return outcome.answer;
  }

  get(path, options) {
    return this.call("GET", path, undefined, options);
  }

  post(path, body, options) {
    return this.call("POST", path, body, options);
  }

  delete(path) {
    return this.call("DELETE", path);
  }
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's own page
  }
}

function withoutSecrets(answer) {
  if (!answer || typeof answer !== "object") return answer;
  const shown = { ...answer };
  for (const name of ["token", "tokens", "meeting_token"]) {
    if (name in shown) shown[name] = "…";
  }
  return shown;
}
