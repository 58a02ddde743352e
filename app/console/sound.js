// The avatar's sound, played by its capture time.
import { samples } from "./frame.js";
import { SILENCE, toDb } from "./level.js";

export const RATE = 24000;

const RESUME_MS = 500;
const JUMP_S = 0.02; // a smaller step away from the clock is not worth a click

export class Sound {
  #context = null;
  #speaker = null;
  #next = 0;
  #silent = false;

  constructor(playout) {
    this.playout = playout;
    this.level = SILENCE;
  }

  get running() {
    return this.#context?.state === "running";
  }

  /**
   * Begin to play; browsers allow it only after a click or a key. Resolves to whether it runs.
   * Rejects where the browser has no worklets: at addresses that are neither local nor https.
   */
  async start() {
    if (!this.#context) {
      this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
      await this.#context.audioWorklet.addModule("console/sound-worklet.js");
      this.#speaker = new AudioWorkletNode(this.#context, "speaker", {
        numberOfInputs: 0,
        outputChannelCount: [1],
      });
      this.#speaker.port.onmessage = ({ data }) => this.#report(data);
      this.#speaker.connect(this.#context.destination);
    }
    // Without a click a browser leaves the promise of resume() open for ever.
    await Promise.race([
      this.#context.resume(),
      new Promise((done) => setTimeout(done, RESUME_MS)),
    ]);
    return this.running;
  }

  async stop() {
    await this.#context?.suspend();
    this.level = SILENCE;
  }

  /** Take a frame of sound. */
  push(frame) {
    const heard = samples(frame);
    if (!this.running || !this.#speaker) {
      this.level = toDb(rms(heard));
      return;
    }
    const { contextTime, performanceTime } = this.#stamp();
    const due = contextTime + (this.playout.due(frame.capture) - performanceTime) / 1000;
    const wanted = Math.max(0, Math.round(due * frame.rate));
    const jump = Math.abs(wanted - this.#next) > JUMP_S * frame.rate;
    // In silence the step is not heard, so that is where the two clocks are brought together.
    const silent = heard.every((value) => value === 0);
    const at = jump || (silent && this.#silent) ? wanted : this.#next;
    this.#silent = silent;
    this.#next = at + heard.length;
    this.#speaker.port.postMessage({ at, samples: heard }, [heard.buffer]);
  }

  /** Which moment of the context sounds at which moment here. */
  #stamp() {
    const stamp = this.#context.getOutputTimestamp?.();
    if (stamp?.contextTime > 0) return stamp;
    return { contextTime: this.#context.currentTime, performanceTime: performance.now() };
  }

  #report({ rms: power, late }) {
    this.level = toDb(power);
    if (late) this.playout.late((late / RATE) * 1000);
  }
}

function rms(heard) {
  return Math.sqrt(heard.reduce((sum, value) => sum + value * value, 0) / (heard.length || 1));
}
