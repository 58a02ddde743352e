// Plays, on the audio thread, what stands in the ring.
import { Ring } from "./ring.js";

const AHEAD_S = 2;
const REPORT_BLOCKS = 8;

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ring = new Ring(Math.ceil(sampleRate * AHEAD_S));
    this.blocks = 0;
    this.power = 0;
    this.late = 0;
    this.port.onmessage = ({ data }) => {
      this.late += this.ring.write(data.at, data.samples);
    };
  }

  process(_, [[out]]) {
    this.ring.read(currentFrame, out);
    for (const sample of out) this.power += sample * sample;
    if (++this.blocks === REPORT_BLOCKS) {
      const rms = Math.sqrt(this.power / (this.blocks * out.length));
      this.port.postMessage({ rms, late: this.late });
      this.blocks = this.power = this.late = 0;
    }
    return true;
  }
}

registerProcessor("speaker", Speaker);
