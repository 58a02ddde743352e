// An open session: what happens in it, its picture and sound, and the way to speak in it. Three
// connections, so that none is behind another's data: events, frames, and audio when it is needed.
import { inTime, Stream } from "./stream.js";
import { RATE } from "./sound.js";

const PROGRESS_MS = 100;
const MOST_FPS = 25;
const MOST_WIDTH = 960;

export class Session {
  #mouth = null;
  #watching = false;

  /**
   * `on` has `event(message)`, `frame(buffer)`, `lost()`, `closed(code, problem)` and
   * `silenced(code)`, when the connection for audio is gone.
   */
  constructor(service, id, on, resume = null) {
    Object.assign(this, { service, id, on });
    this.paused = false; // flow control: send no more for now
    this.line = new Stream(service, id, {
      role: "control",
      query: { progress_ms: PROGRESS_MS },
      resume,
      on: { message: on.event, lost: on.lost, closed: on.closed },
    });
    this.view = new Stream(service, id, {
      role: "observe",
      on: { message: (message) => this.#viewed(message), frame: on.frame },
    });
  }

  open() {
    this.line.connect();
    this.view.connect();
  }

  close() {
    for (const stream of [this.line, this.view, this.#mouth]) stream?.close();
  }

  /** Watch, or look away: nothing is made for a page that nobody sees. */
  watch(watching) {
    this.#watching = watching;
    if (this.view.open) this.#subscribe();
  }

  /** The connection for audio, made when it is first needed. Rejects when it cannot be had. */
  async mouth() {
    if (!this.#mouth || this.#mouth.over) {
      this.paused = false;
      this.#mouth = new Stream(this.service, this.id, {
        role: "produce",
        comesBack: false,
        on: {
          message: (message) => this.#spoken(message),
          closed: (code) => this.on.silenced(code),
        },
      });
      this.#mouth.connect();
    }
    const mouth = this.#mouth;
    await inTime(mouth.hello);
    return mouth;
  }

  /** Barge in: on the connection if there is one, else with a call. */
  async interrupt() {
    const reason = "barge-in in the console";
    if (!this.line.send({ type: "interrupt", reason })) {
      await this.service.post(`sessions/${this.id}/interrupt`, { reason });
    }
  }

  /** Hold what is not handed over yet, or let it go. */
  pause(paused) {
    const type = paused ? "playback.pause" : "playback.resume";
    if (!this.line.send({ type })) throw new Error("the connection is lost");
  }

  /** Let the replica say a sentence with its own voice. */
  async say(text) {
    await this.service.post(`sessions/${this.id}/messages`, saying(text));
  }

  async end() {
    await this.service.delete(`sessions/${this.id}`);
  }

  #subscribe() {
    const picture = { codec: "jpeg", max_fps: MOST_FPS, max_width: MOST_WIDTH };
    this.view.send({
      type: "frames.subscribe",
      audio: { sample_rate: RATE },
      ...(this.#watching ? { video: picture } : {}),
    });
  }

  #viewed(message) {
    if (message.type === "hello") this.#subscribe();
    else if (message.type.startsWith("frames.") || message.type === "error") this.on.event(message);
  }

  #spoken(message) {
    if (message.type === "flow.pause") this.paused = true;
    if (message.type === "flow.resume") this.paused = false;
    // What has a number concerns the session and comes on the line too.
    if (message.seq === undefined && message.type !== "session.ready") this.on.event(message);
  }
}

/** The body that makes the replica say a sentence. */
export function saying(text) {
  return { event_type: "conversation.echo", properties: { modality: "text", text } };
}
