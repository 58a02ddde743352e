// Samples by their place in time: what comes for later waits, what comes too late is dropped.

export class Ring {
  /** Hold `length` samples ahead of what is read. */
  constructor(length) {
    this.samples = new Float32Array(length);
    this.next = 0; // the place that is read next
  }

  /** Put samples at a place; returns how many came too late, or too early, to be heard. */
  write(at, samples) {
    const { length } = this.samples;
    let lost = 0;
    for (let index = 0; index < samples.length; index++) {
      const place = at + index;
      if (place < this.next || place >= this.next + length) lost++;
      else this.samples[place % length] = samples[index];
    }
    return lost;
  }

  /** Fill `out` with what stands at `at` and after; a place that nothing came for is silent. */
  read(at, out) {
    const { length } = this.samples;
    for (; this.next < at; this.next++) this.samples[this.next % length] = 0;
    for (let index = 0; index < out.length; index++) {
      const place = (at + index) % length;
      out[index] = this.samples[place];
      this.samples[place] = 0;
    }
    this.next = at + out.length;
  }
}
