// How loud something is, in decibels below full scale.

export const SILENCE = -60;

export function toDb(rms) {
  return Math.max(SILENCE, 20 * Math.log10(rms || 1e-9));
}

/** A meter on the page: falls slowly, as the eye wants it. */
export class Meter {
  #shown = SILENCE;
  #told = 0;

  constructor(element) {
    this.element = element;
    this.bar = element.querySelector(".meter-bar");
  }

  /** Show a level; call it once a picture. */
  show(db, now) {
    this.#shown = Math.max(db, this.#shown - 1.2);
    this.bar.style.transform = `scaleX(${1 - this.#shown / SILENCE})`;
    if (now - this.#told > 200) {
      this.#told = now;
      this.element.setAttribute("aria-valuenow", Math.round(this.#shown));
      this.element.setAttribute(
        "aria-valuetext",
        this.#shown > SILENCE + 1 ? `${Math.round(this.#shown)} decibels` : "silent",
      );
    }
  }
}
