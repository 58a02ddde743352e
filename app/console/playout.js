// The one clock of picture and sound: when what was captured then is to be seen and heard here.
//
// All times are milliseconds: `capture` on the service's clock, `now` on performance.now()'s. The
// quickest way that a frame took lately is the distance of the two clocks; everything is shown a
// fixed delay after that, so that a frame that took longer is not late.

const START_DELAY = 120;
const MOST_DELAY = 600;
const STEP = 1000;
const STEPS = 10;

export class Playout {
  constructor() {
    this.reset();
  }

  /** Begin anew, with frames of another session. */
  reset() {
    this.delay = START_DELAY;
    this.distance = undefined;
    this.steps = []; // least distance in each of the last seconds
  }

  /** A frame has come. */
  arrived(capture, now) {
    const step = Math.floor(now / STEP);
    const distance = now - capture;
    const last = this.steps.at(-1);
    if (last?.step === step) last.distance = Math.min(last.distance, distance);
    else this.steps.push({ step, distance });
    while (this.steps[0].step <= step - STEPS) this.steps.shift();
    this.distance = Math.min(...this.steps.map((each) => each.distance));
  }

  /** When it is to be shown. */
  due(capture) {
    return capture + this.distance + this.delay;
  }

  /** What is to be shown now; null before anything has come. */
  captured(now) {
    return this.distance === undefined ? null : now - this.distance - this.delay;
  }

  /** Sound came this much too late to be heard: wait longer from now on. */
  late(ms) {
    this.delay = Math.min(MOST_DELAY, this.delay + Math.min(ms, 100));
  }
}
