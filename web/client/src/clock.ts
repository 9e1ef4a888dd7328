/** The server's clock, as seen from here. */

/** Microseconds since 1970 on this machine's clock: it never goes backwards. */
export const localUs = (): number => 1000 * (performance.timeOrigin + performance.now());

/** Seconds by which a sample's worth falls: clocks of two machines drift by some 20 µs a second. */
const DRIFT = 50e-6;
const KEPT = 24;

interface Exchange {
  readonly at: number;
  readonly roundTrip: number;
  readonly offset: number;
}

/**
 * Keeps the exchanges of `heartbeat`, and believes the one with the shortest round trip: the error is at most half of
 * it. Old ones count as worse by what the clocks may have drifted since. Pure: times are arguments, in microseconds.
 */
export class ServerClock {
  #exchanges: Exchange[] = [];

  /** Server's time less ours, microseconds; 0 before the first exchange. */
  offset = 0;
  /** Of the exchange that is believed. */
  roundTrip = Infinity;

  get known(): boolean {
    return this.#exchanges.length > 0;
  }

  /** Takes in an exchange: our time before and after, the server's in between. */
  observe(before: number, server: number, after: number): void {
    this.#exchanges.push({ at: after, roundTrip: after - before, offset: server - (before + after) / 2 });
    if (this.#exchanges.length > KEPT) this.#exchanges.shift();
    const worth = (each: Exchange) => each.roundTrip / 2 + DRIFT * (after - each.at);
    const best = this.#exchanges.reduce((a, b) => (worth(b) <= worth(a) ? b : a));
    [this.offset, this.roundTrip] = [best.offset, best.roundTrip];
  }

  /** Forgets what it knew: another server, or another route to it. */
  reset(): void {
    this.#exchanges = [];
  }

  toServer(local: number): number {
    return local + this.offset;
  }

  toLocal(server: number): number {
    return server - this.offset;
  }
}
