/** What the page costs and how late it is, for `python -m benchmarks page`: it calls `posewireMeter.take()`. */

const MOST_PICTURES = 2048;
const MOST_AGES = 16_384;

/** Since the last look; milliseconds. Of pictures one entry each. */
export interface Measured {
  /** Spent on packets since the picture before: checked, decoded, handed to the playout. */
  readonly decode: number[];
  /** Spent on moving everybody to where they are. */
  readonly update: number[];
  /** Spent on telling WebGL what to draw. */
  readonly submit: number[];
  /** Since the picture before. */
  readonly interval: number[];
  /** Between capture and decoded, of every pose. */
  readonly ages: number[];
  /** Pictures and ages that did not fit. */
  readonly missed: number;
  /** Since navigation began: the script ran; joined; somebody was seen in two poses. */
  readonly marks: Readonly<Record<string, number>>;
}

class Values {
  readonly #values: Float32Array;
  #used = 0;
  missed = 0;

  constructor(most: number) {
    this.#values = new Float32Array(most);
  }

  add(value: number): void {
    if (this.#used < this.#values.length) this.#values[this.#used++] = value;
    else this.missed++;
  }

  take(): number[] {
    const values = Array.from(this.#values.subarray(0, this.#used));
    this.#used = this.missed = 0;
    return values;
  }
}

/** Of fixed size, whoever looks or not. */
export class Meter {
  readonly #decode = new Values(MOST_PICTURES);
  readonly #update = new Values(MOST_PICTURES);
  readonly #submit = new Values(MOST_PICTURES);
  readonly #interval = new Values(MOST_PICTURES);
  readonly #ages = new Values(MOST_AGES);
  readonly #marks: Record<string, number> = {};

  /** Whether somebody was seen to move. */
  get moved(): boolean {
    return 'moved' in this.#marks;
  }

  picture(decode: number, update: number, submit: number, interval: number): void {
    this.#decode.add(decode);
    this.#update.add(update);
    this.#submit.add(submit);
    this.#interval.add(interval);
  }

  age(milliseconds: number): void {
    this.#ages.add(milliseconds);
  }

  /** Notes when something was for the first time. */
  mark(name: string): void {
    this.#marks[name] ??= performance.now();
  }

  take(): Measured {
    const missed = this.#interval.missed + this.#ages.missed;
    return {
      missed, marks: { ...this.#marks }, decode: this.#decode.take(), update: this.#update.take(), submit: this.#submit.take(),
      interval: this.#interval.take(), ages: this.#ages.take(),
    };
  }
}
