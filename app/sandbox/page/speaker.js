// Plays pieces of sound one after another, and says which moment is heard.

const START_S = 0.08; // waits before the first sample: pieces come late now and then
const MOST_S = 0.3; // more than this and the sound has fallen behind: go on with the newest
const REPORT_BLOCKS = 10; // of 128 samples

class Speaker extends AudioWorkletProcessor {
  #pieces = []; // {at: capture time of the first sample left, microseconds; samples}
  #waiting = 0;
  #playing = false;
  #blocks = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      this.#pieces.push(data);
      this.#waiting += data.samples.length;
      if (this.#waiting > MOST_S * sampleRate) {
        while (this.#waiting > START_S * sampleRate) {
          this.#waiting -= this.#pieces.shift().samples.length;
        }
      }
    };
  }

  process(_inputs, [[out]]) {
    this.#playing ||= this.#waiting >= START_S * sampleRate;
    if (!this.#playing) return true;
    const at = this.#pieces[0]?.at;
    let filled = 0;
    while (filled < out.length && this.#pieces.length) {
      const piece = this.#pieces[0];
      const part = piece.samples.subarray(0, out.length - filled);
      out.set(part, filled);
      filled += part.length;
      piece.samples = piece.samples.subarray(part.length);
      piece.at += (part.length * 1e6) / sampleRate;
      if (!piece.samples.length) this.#pieces.shift();
    }
    this.#waiting -= filled;
    this.#playing = filled === out.length;
    if (at !== undefined && this.#blocks++ % REPORT_BLOCKS === 0) {
      const power = out.reduce((sum, sample) => sum + sample * sample, 0) / out.length;
      this.port.postMessage({ at, level: Math.sqrt(power) });
    }
    return true;
  }
}

registerProcessor("speaker", Speaker);
