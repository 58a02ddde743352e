// What became of every utterance, and when, as the events of the session tell it. Times are the
// service's, Unix milliseconds; lengths are milliseconds of audio.

const MOST = 60;
const PROGRESS_SLACK_MS = 300;

const SAMPLE_BYTES = {
  pcm_s16le: 2,
  pcm_s16be: 2,
  pcm_s24le: 3,
  pcm_s32le: 4,
  pcm_u8: 1,
  pcm_f32le: 4,
  pcm_mulaw: 1,
  pcm_alaw: 1,
};

export class Timeline {
  #text = "";

  /** `leadMs` is how far ahead of the playing position audio is handed over. */
  constructor(leadMs = 0) {
    this.leadMs = leadMs;
    this.utterances = [];
    this.speaking = []; // {from, to, interrupted, text}; `to` null while it lasts
    this.interrupts = []; // {at, interrupted, dropped}
    this.pausedAt = null;
    this.last = 0; // when something last happened
  }

  /** Take a message of the service; what does not concern the timeline changes nothing. */
  take(message) {
    const handler = HANDLERS[message.type];
    if (!handler) return;
    handler.call(this, message);
    this.last = Math.max(this.last, message.ts_ms);
    for (const list of [this.utterances, this.speaking, this.interrupts]) {
      list.splice(0, list.length - MOST);
    }
  }

  /** This page has sent so much of an utterance. */
  sent(id, ms) {
    const utterance = this.utterances.find((each) => each.id === id);
    if (utterance) utterance.received = Math.max(utterance.received, ms);
    else this.#early = { id, ms };
  }

  /** The replica was told to say a text: what it says next that is no utterance is that. */
  said(text) {
    this.#text = text;
  }

  /** What the replica begins to say, where that is no utterance; once. */
  takeText() {
    if (this.utterances.some((each) => !each.done && each.startedAt === null)) return "";
    const text = this.#text;
    this.#text = "";
    return text;
  }

  /** Whether something is being said, or waits. */
  get busy() {
    return this.utterances.some((each) => !each.done) || this.speaking.at(-1)?.to === null;
  }

  /** Played of an utterance at `now`, between two reports going on as time does. */
  played(utterance, now) {
    if (utterance.done || utterance.startedAt === null) return utterance.played;
    const since = utterance.playedAt ?? utterance.startedAt;
    const until = this.pausedAt ?? now;
    const on = Math.min(Math.max(0, until - since), PROGRESS_SLACK_MS);
    return Math.min(utterance.played + on, Math.max(utterance.received, utterance.played));
  }

  /** Handed to the room by `now`: known at the end, until then the lead ahead of what is played. */
  handedOver(utterance, now) {
    if (utterance.sent !== null) return utterance.sent;
    if (utterance.startedAt === null) return Math.min(utterance.received, this.leadMs);
    return Math.min(utterance.received, this.played(utterance, now) + this.leadMs);
  }

  #early = null; // sent before the service told of its utterance

  find(id, ts) {
    return this.utterances.find((each) => each.id === id) ?? this.add({ id, openedAt: ts });
  }

  add(known) {
    const utterance = {
      number: 0,
      startedAt: null,
      endedAt: null,
      played: 0,
      playedAt: null,
      received: 0,
      sent: null,
      dropped: 0,
      marks: [],
      status: "open",
      source: null,
      code: null,
      done: false,
      bytesPerMs: null,
      latency: null,
      ...known,
    };
    if (this.#early?.id === utterance.id) utterance.received = this.#early.ms;
    this.utterances.push(utterance);
    return utterance;
  }
}

const HANDLERS = {
  "utterance.opened"({ utterance_id: id, number, format, ts_ms: ts }) {
    const bytes = SAMPLE_BYTES[format.encoding];
    const bytesPerMs = bytes ? (bytes * format.sample_rate * format.channels) / 1000 : null;
    this.add({ id, number, openedAt: ts, bytesPerMs });
  },
  "audio.ack"({ utterance_id: id, accepted_bytes: bytes, ts_ms: ts }) {
    const utterance = this.find(id, ts);
    if (!utterance.bytesPerMs) return;
    utterance.received = Math.max(utterance.received, bytes / utterance.bytesPerMs);
  },
  "utterance.started"({ utterance_id: id, number, source, ts_ms: ts }) {
    Object.assign(this.find(id, ts), { number, source, startedAt: ts, status: "playing" });
  },
  "playback.progress"({ utterance_id: id, played_ms: played, source, ts_ms: ts }) {
    const utterance = this.find(id, ts);
    utterance.startedAt ??= ts - played;
    utterance.received = Math.max(utterance.received, played);
    Object.assign(utterance, { played, playedAt: ts, source, status: "playing" });
  },
  "mark.reached"({ name, utterance_id: id, offset_ms: offset, outcome, ts_ms: ts }) {
    if (id) this.find(id, ts).marks.push({ name, offset, outcome });
  },
  "interrupt.accepted"({ interrupted, dropped_ms: dropped, utterances, ts_ms: ts }) {
    this.interrupts.push({ at: ts, interrupted, dropped });
    this.pausedAt = null;
    for (const cut of utterances ?? []) {
      Object.assign(this.find(cut.utterance_id, ts), {
        received: cut.received_ms,
        sent: cut.sent_ms,
        dropped: cut.dropped_ms,
        status: "cut",
      });
    }
  },
  "utterance.done"(message) {
    const { status, source, code = null, latency, ts_ms: ts } = message;
    Object.assign(this.find(message.utterance_id, ts), {
      number: message.number,
      received: message.received_ms,
      sent: message.sent_ms,
      played: message.played_ms,
      dropped: message.dropped_ms,
      status,
      source,
      code,
      latency,
      endedAt: ts,
      done: true,
    });
  },
  "playback.paused"({ ts_ms: ts }) {
    this.pausedAt = ts;
  },
  "playback.resumed"() {
    this.pausedAt = null;
  },
  "replica.started_speaking"({ ts_ms: ts }) {
    this.speaking.push({ from: ts, to: null, interrupted: false, text: this.takeText() });
  },
  "replica.stopped_speaking"({ interrupted = false, duration_ms: duration, ts_ms: ts }) {
    let last = this.speaking.at(-1);
    if (!last || last.to !== null) {
      last = { from: ts - (duration ?? 0), text: "" };
      this.speaking.push(last);
    }
    Object.assign(last, { to: ts, interrupted });
  },
  "session.ended"({ ts_ms: ts }) {
    const last = this.speaking.at(-1);
    if (last?.to === null) last.to = ts;
  },
};
