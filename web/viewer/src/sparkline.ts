/** A line of the last values, small enough to stand in a text. */

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 96;
const HEIGHT = 22;
const KEPT = 60;

export class Sparkline {
  readonly root = document.createElementNS(SVG, 'svg');
  readonly #line = document.createElementNS(SVG, 'polyline');
  readonly #values: number[] = [];
  readonly #least: number;

  /** `least`: the scale never becomes finer than that. */
  constructor(least: number) {
    this.#least = least;
    this.root.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    this.root.setAttribute('preserveAspectRatio', 'none');
    this.root.setAttribute('class', 'sparkline');
    this.root.setAttribute('aria-hidden', 'true');
    this.root.append(this.#line);
  }

  push(value: number): void {
    this.#values.push(value);
    if (this.#values.length > KEPT) this.#values.shift();
    const top = Math.max(this.#least, ...this.#values);
    const points = this.#values.map((each, i) => {
      const x = WIDTH - ((this.#values.length - 1 - i) * WIDTH) / (KEPT - 1);
      return `${x.toFixed(1)},${(HEIGHT - 1 - (Math.max(0, each) / top) * (HEIGHT - 2)).toFixed(1)}`;
    });
    this.#line.setAttribute('points', points.join(' '));
  }
}
