/** Figures of one received stream. Pure: the caller says what time it is. Times are milliseconds. */

const AGES = 1000;
const TIMES = 300;
const SHOWN_MS = 10_000;
/** A jump of so many frames is a new count, not a loss. */
const JUMP = 10_000;
const OVERTAKEN = 64;
const LEAST_MS = 5000;
const RECENT = 8;
/** Ages beyond are of a clock that is wrong. */
const LONGEST_AGE = 3_600_000;

export interface StreamFigures {
  readonly frames: number;
  readonly lost: number;
  readonly fps: number;
  readonly bytesPerSecond: number;
  readonly ageP50: number;
  readonly ageP95: number;
  readonly ageP99: number;
}

/** What the server is told of a stream. */
export interface StreamInterval {
  readonly seq: number;
  readonly frames: number;
  readonly lost: number;
  readonly ageP50: number;
  readonly ageP99: number;
  readonly queueing: number;
  readonly renderLag: number;
}

/** The nearest-rank percentiles of some numbers; 0 of none. */
export function percentiles(values: readonly number[], ...shares: number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  return shares.map((share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] : 0));
}

export class StreamStats {
  frames = 0;
  lost = 0;
  /** How much older the newest frame was than the youngest of the last ten seconds. */
  newestQueueing = 0;
  /** The longest that a frame waited here for its reader since the last look. */
  renderLag = 0;
  #next: number | null = null;
  #missing = new Set<number>();
  #ages: number[] = [];
  /** When each of them came. */
  #agedAt: number[] = [];
  #arrivals: { at: number; size: number }[] = [];
  #least: [number, number] = [Infinity, Infinity];
  #leastUntil = 0;
  #reported = { frames: 0, lost: 0 };

  /** Counts one packet. */
  observe(now: number, age: number, size: number, seq: number): void {
    this.#count(seq);
    this.frames++;
    if (Math.abs(age) < LONGEST_AGE) {
      this.#ages.push(age);
      this.#agedAt.push(now);
      if (this.#ages.length > AGES) {
        this.#ages.shift();
        this.#agedAt.shift();
      }
      this.#noteLeast(now, age);
      this.newestQueueing = age - Math.min(...this.#least);
    }
    this.#arrivals.push({ at: now, size });
    if (this.#arrivals.length > TIMES) this.#arrivals.shift();
  }

  /** Begins to count the frames anew: the sender came back under another number. */
  restart(): void {
    this.#next = null;
    this.#missing.clear();
  }

  /** How much older even the youngest of the last frames was than the youngest of the last ten seconds. */
  get queueing(): number {
    if (!this.#ages.length) return 0;
    return Math.max(0, Math.min(...this.#ages.slice(-RECENT)) - Math.min(...this.#least));
  }

  /** The ages of the last frames, oldest first. */
  get ages(): readonly number[] {
    return this.#ages;
  }

  /** The figures since this was called last. */
  interval(): StreamInterval {
    const frames = this.frames - this.#reported.frames;
    const lost = Math.max(0, this.lost - this.#reported.lost);
    this.#reported = { frames: this.frames, lost: this.lost };
    const [ageP50, ageP99] = percentiles(frames ? this.#ages.slice(-frames) : [], 0.5, 0.99);
    const { renderLag, queueing } = this;
    this.renderLag = 0;
    return { seq: Math.max(0, (this.#next ?? 0) - 1), frames, lost, ageP50, ageP99, queueing, renderLag };
  }

  /** Rates of the last two seconds, ages of the last ten. */
  figures(now: number): StreamFigures {
    const recent = this.#arrivals.filter(({ at }) => now - at < 2000);
    const span = recent.length > 1 ? (now - recent[0].at) / 1000 : 0;
    const first = this.#agedAt.findIndex((at) => now - at < SHOWN_MS);
    const [ageP50, ageP95, ageP99] = percentiles(first < 0 ? [] : this.#ages.slice(first), 0.5, 0.95, 0.99);
    return {
      frames: this.frames,
      lost: this.lost,
      fps: span > 0 ? (recent.length - 1) / span : 0,
      bytesPerSecond: span > 0 ? recent.slice(1).reduce((sum, { size }) => sum + size, 0) / span : 0,
      ageP50, ageP95, ageP99,
    };
  }

  #count(seq: number): void {
    if (this.#next === null || seq >= this.#next) {
      const gap = this.#next === null ? 0 : seq - this.#next;
      if (gap > 0 && gap < JUMP) {
        this.lost += gap;
        for (let missing = Math.max(seq - gap, seq - OVERTAKEN); missing < seq; missing++) this.#missing.add(missing);
        for (const old of this.#missing) if (old <= seq - OVERTAKEN) this.#missing.delete(old);
      }
      this.#next = seq + 1;
    } else if (this.#missing.delete(seq)) this.lost--; // it came after all, overtaken by another
  }

  #noteLeast(now: number, age: number): void {
    if (now >= this.#leastUntil) {
      this.#least = [age, this.#least[0]];
      this.#leastUntil = now + LEAST_MS;
    } else if (age < this.#least[0]) this.#least = [age, this.#least[1]];
  }
}
