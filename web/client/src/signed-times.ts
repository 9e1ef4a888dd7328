/** Bodies of version 1: when they were signed. "Freshness" and "Each time once" of docs/wire.md. */
import { check } from './errors.js';

const MAX_AGE_US = 30e6;
const KEPT = 1024;

/** The greatest times that were accepted of one stream, microseconds. */
export class SignedTimes {
  readonly #times: number[] = []; // sorted

  /** Refuses what was signed too long ago, or in the future, or was here. `now`: microseconds on the server's clock. */
  check(signed: number, captured: number, now: number): void {
    check(Math.abs(captured - signed) <= MAX_AGE_US, 'the header says another time', 'altered');
    check(Math.abs(now - signed) <= MAX_AGE_US, 'signed too long ago, or in the future', 'stale');
    check(!this.#times.includes(signed), 'signed at a time that was here', 'replayed');
    check(this.#times.length < KEPT || signed > this.#times[0], 'signed before all that are remembered', 'replayed');
  }

  accept(signed: number): void {
    let at = this.#times.length;
    while (at > 0 && this.#times[at - 1] > signed) at--;
    this.#times.splice(at, 0, signed);
    if (this.#times.length > KEPT) this.#times.shift();
  }
}
