// How long an utterance takes from its first byte to the first picture that shows it.

const MOST = 8;

export class Latency {
  #opened = new Map(); // number → when this page heard of it

  constructor() {
    this.rows = []; // {number, sent, started, frame}, ms; null where not known
  }

  /** Take a message of the service that came at `now`; null: before the page was loaded anew. */
  take(message, now) {
    if (message.type === "utterance.opened" && now !== null) this.#opened.set(message.number, now);
    if (message.type === "utterance.done") {
      const { first_sent_ms: sent, started_ms: started } = message.latency;
      Object.assign(this.#row(message.number), { sent, started });
    }
  }

  /** A picture was shown at `now` that belongs to this utterance; the first one counts. */
  shown(number, now) {
    const opened = this.#opened.get(number);
    if (opened === undefined) return;
    this.#opened.delete(number);
    this.#row(number).frame = Math.round(now - opened);
  }

  /** The median of one of the times. */
  median(name) {
    const known = this.rows.map((row) => row[name]).filter((ms) => ms !== null);
    known.sort((one, other) => one - other);
    return known.length ? known[known.length >> 1] : null;
  }

  #row(number) {
    let row = this.rows.find((each) => each.number === number);
    if (!row) {
      row = { number, sent: null, started: null, frame: null };
      this.rows.push(row);
      this.rows.splice(0, this.rows.length - MOST);
    }
    return row;
  }
}
