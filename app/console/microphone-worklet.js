// Turns what the microphone hears into s16le pieces of about 40 ms, on the audio thread.

const PIECE_S = 0.04;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate * PIECE_S));
    this.filled = 0;
    this.power = 0;
  }

  process([[heard]]) {
    for (const sample of heard ?? []) {
      this.power += sample * sample;
      this.piece[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
      if (this.filled === this.piece.length) this.send();
    }
    return true;
  }

  send() {
    const pcm = this.piece.slice().buffer;
    this.port.postMessage({ pcm, rms: Math.sqrt(this.power / this.filled) }, [pcm]);
    this.filled = this.power = 0;
  }
}

registerProcessor("recorder", Recorder);
