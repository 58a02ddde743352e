// Everything that was said between the page and the service, the newest last, bounded.

const MOST = 500;

const CHATTER = new Set(["audio.ack", "playback.progress", "frames.stats", "pong", "tavus.event"]);

/** The groups a reader can choose from; each tells whether an entry belongs to it. */
export const GROUPS = {
  notable: (entry) => !CHATTER.has(entry.type),
  speech: ({ type }) => /^(utterance|audio|mark|playback|flow|interrupt)\b/.test(type),
  session: ({ type }) => /^(hello|session|server|replica|participant|frames)\b/.test(type),
  tavus: ({ type }) => type === "tavus.event",
  calls: (entry) => entry.call !== undefined,
  errors: ({ type, failed }) => type === "error" || failed === true,
  everything: () => true,
};

export class Log {
  #number = 0;

  constructor() {
    this.entries = [];
  }

  /** Note a message of the service. */
  message(message) {
    const { type, ts_ms: at = Date.now(), ...rest } = message;
    return this.#add({ at, type, body: rest, summary: summary(message) });
  }

  /** Note a call to the service, as `Service` tells of it. */
  call(call) {
    const { method, path, body, status, answer } = call;
    return this.#add({
      at: Date.now(),
      type: `${method} /${path.replace(/^sessions\/sess_\w+/, "…")}`,
      body: { ...(body === undefined ? {} : { request: body }), answer },
      summary: status ? `${status}${answer?.code ? ` ${answer.code}` : ""}` : "no answer",
      failed: status === 0 || status >= 400,
      call,
    });
  }

  clear() {
    this.entries.length = 0;
  }

  #add(entry) {
    entry.number = ++this.#number;
    this.entries.push(entry);
    this.entries.splice(0, this.entries.length - MOST);
    return entry;
  }
}

/** Whether an entry is in the group and has all words of the text somewhere in it. */
export function matches(entry, group, text) {
  if (!GROUPS[group](entry)) return false;
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const whole = `${entry.type} ${JSON.stringify(entry.body)}`.toLowerCase();
  return words.every((word) => whole.includes(word));
}

function summary(message) {
  const { type } = message;
  if (type === "tavus.event") return String(message.event?.event_type ?? "");
  if (type === "error") return `${message.code}: ${message.message}`;
  if (type === "utterance.done") {
    return `${message.utterance_id} ${message.status}, ${message.played_ms} of ${message.received_ms} ms`;
  }
  if (type === "interrupt.accepted") {
    return message.interrupted ? `${message.dropped_ms} ms dropped` : "nothing to cut";
  }
  if (type === "mark.reached") return `${message.name} ${message.outcome}`;
  if (type === "hello") return `${message.role}, ${message.room}`;
  const told = message.utterance_id ?? message.reason ?? message.status ?? message.name ?? "";
  return String(told);
}
