// Cuts what is said into pieces of 20 ms, 16 bits a sample.

class Microphone extends AudioWorkletProcessor {
  #piece = new Int16Array(Math.round(sampleRate / 50));
  #filled = 0;
  #power = 0;

  process([[said]]) {
    for (const sample of said ?? []) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.#piece[this.#filled++] = Math.round(clipped * 32767);
      this.#power += clipped * clipped;
      if (this.#filled === this.#piece.length) this.#send();
    }
    return true;
  }

  #send() {
    const pcm = this.#piece.buffer;
    const level = Math.sqrt(this.#power / this.#filled);
    this.port.postMessage({ pcm, level }, [pcm]);
    this.#piece = new Int16Array(Math.round(sampleRate / 50));
    this.#filled = this.#power = 0;
  }
}

registerProcessor("microphone", Microphone);
