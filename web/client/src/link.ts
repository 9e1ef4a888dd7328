/** One connection to the server at a time: opened, lost, opened again; requests and events on it. */
import { io, type Socket } from 'socket.io-client';
import { Emitter } from './emitter.js';
import { PosewireError, errorFromWire, messageOf } from './errors.js';
import type { TokenSource } from './login.js';
import { asBytes, parser } from './socket-parser.js';

/** How the connection is. `waiting`: lost, and tried again later. */
export type LinkState = 'connecting' | 'connected' | 'waiting' | 'closed';

export interface LinkEvents {
  state: LinkState;
  /** A packet, as it came. */
  packet: Uint8Array;
  /** `room`, `keyframe`, `ack`, `report`, `notice`: name and argument. */
  message: { readonly name: string; readonly data: unknown };
}

export interface LinkOptions {
  readonly url: string;
  readonly token: TokenSource;
  /** Whether asking for a token again may give another one. */
  readonly renewable: boolean;
  /** Connections with the same text are one session. */
  readonly sessionId: string;
  /** Called on each new connection before it counts as connected. What it throws ends the connection. */
  readonly greet: () => Promise<void>;
  /** Milliseconds for an answer, and for connecting. */
  readonly timeout?: number;
  /** A share of 0 to 1, for the waits between attempts. */
  readonly random?: () => number;
}

const FIRST_WAIT = 250;
const LONGEST_WAIT = 5000;
const MESSAGES = ['room', 'keyframe', 'ack', 'report', 'notice'];
/** Codes in the style of HTTP for which it is of no use to come back with the same token. */
const HOPELESS = new Set([400, 401, 403, 404]);

/** Keeps one connection open until it is closed, or told not to come back. */
export class Link extends Emitter<LinkEvents> {
  state: LinkState = 'connecting';
  /** Why the connection is not there, for people; empty while it is. */
  reason = '';
  readonly #options: LinkOptions;
  readonly #timeout: number;
  #socket: Socket | null = null;
  #bye: { reason: string; retry: boolean } | null = null;
  #closed = false;
  /** How often in a row the token was refused. */
  #refused = 0;
  #wake: () => void = () => undefined;

  constructor(options: LinkOptions) {
    super();
    this.#options = options;
    this.#timeout = options.timeout ?? 10_000;
  }

  /** Connects, and comes back when the connection is lost. Returns when it is over; throws when it must not come back. */
  async run(): Promise<void> {
    for (let attempt = 0; !this.#closed; ) {
      try {
        this.#set('connecting', this.reason);
        const lost = await this.#open();
        attempt = this.#refused = 0;
        this.reason = await lost;
        this.#endIfToldSo();
      } catch (error) {
        if (this.#closed) break;
        this.reason = messageOf(error);
        if (error instanceof PosewireError && this.#hopeless(error)) {
          this.close(this.reason);
          throw error;
        }
      }
      if (!this.#closed) await this.#wait(attempt++);
    }
  }

  /** Asks the server; gives its result, or throws its error. */
  async request(name: string, argument: unknown = {}): Promise<unknown> {
    const socket = this.#connected();
    let answer: unknown;
    try {
      answer = await socket.timeout(this.#timeout).emitWithAck(name, argument);
    } catch {
      throw new PosewireError('ConnectionError', `no answer to ${name}`);
    }
    if (Array.isArray(answer) && answer[0] === true) return answer[1];
    throw errorFromWire(Array.isArray(answer) ? answer[1] : null);
  }

  /** Sends an event that nobody answers; false when there is no connection. */
  tell(name: string, argument: unknown): boolean {
    const socket = this.#socket;
    if (!socket?.connected) return false;
    socket.emit(name, argument);
    return true;
  }

  /** Tries again now instead of later: the network is back, or somebody asked. */
  retry(): void {
    this.#wake();
  }

  /** Ends the connection for good; the server takes it for a goodbye. Idempotent. */
  close(reason = ''): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.disconnect();
    this.#wake();
    this.#set('closed', reason);
  }

  /** Ends this connection as if it were lost. For tests. */
  cut(): void {
    this.#socket?.io.engine.close();
  }

  #set(state: LinkState, reason: string): void {
    this.reason = reason;
    this.state = state;
    this.emit('state', state);
  }

  #connected(): Socket {
    if (!this.#socket?.connected) throw new PosewireError('ConnectionError', `not connected${this.reason ? `: ${this.reason}` : ''}`);
    return this.#socket;
  }

  #endIfToldSo(): void {
    const bye = this.#bye;
    this.#bye = null;
    if (bye) this.reason = bye.reason;
    if (bye && !bye.retry) throw new PosewireError('Bye', bye.reason, 403);
  }

  /** Whether coming back makes no sense. A token that can be had anew is had anew once. */
  #hopeless(error: PosewireError): boolean {
    const once = error.code === 401 && this.#options.renewable && !(error instanceof NoToken) && this.#refused++ === 0;
    return error.type === 'Bye' || (HOPELESS.has(error.code) && !once);
  }

  /** Opens a connection; gives the promise of why it was lost. */
  async #open(): Promise<Promise<string>> {
    const token = await this.#options.token().catch((error: unknown) => {
      throw error instanceof PosewireError ? new NoToken(error.type, error.message, error.code, error.fields) : error;
    });
    const socket = io(this.#options.url, {
      auth: { token, session: this.#options.sessionId },
      transports: ['websocket'],
      parser,
      forceNew: true,
      reconnection: false,
      timeout: this.#timeout,
    });
    this.#socket = socket;
    const lost = new Promise<string>((resolve) => socket.once('disconnect', (reason) => resolve(WORDS[reason] ?? reason)));
    this.#listen(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('connect_error', (error) => reject(refusalOf(error)));
    }).catch((error: unknown) => {
      socket.disconnect();
      throw error;
    });
    try {
      await this.#options.greet();
    } catch (error) {
      socket.io.engine.close(); // no goodbye: the seat may be held
      this.#endIfToldSo();
      throw error;
    }
    if (this.#closed) socket.disconnect();
    else if (socket.connected) this.#set('connected', '');
    return lost;
  }

  #listen(socket: Socket): void {
    socket.on('frame', (packet: unknown) => {
      const bytes = asBytes(packet);
      if (bytes) this.emit('packet', bytes);
    });
    for (const name of MESSAGES) socket.on(name, (data: unknown) => this.emit('message', { name, data }));
    socket.on('bye', (data: unknown) => {
      const { reason, retry } = (data ?? {}) as { reason?: unknown; retry?: unknown };
      this.#bye = { reason: typeof reason === 'string' ? reason : 'the server closed the connection', retry: retry !== false };
    });
  }

  async #wait(attempt: number): Promise<void> {
    this.#set('waiting', this.reason);
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(attempt, 10));
    const wait = most * (0.5 + (this.#options.random ?? Math.random)() / 2);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }
}

/** There is no token: name and password are wrong, say. */
class NoToken extends PosewireError {}

/** What socket.io-client says, for people. */
const WORDS: Record<string, string> = {
  'transport close': 'the connection was lost',
  'transport error': 'the connection failed',
  'ping timeout': 'the server does not answer any more',
  'io server disconnect': 'the server closed the connection',
  'io client disconnect': 'closed',
  'parse error': 'the server sent something that makes no sense',
  'forced close': 'the connection was lost',
};

function refusalOf(error: Error & { data?: unknown }): PosewireError {
  if (error.data) return errorFromWire(error.data);
  return new PosewireError('ConnectionError', error.message === 'websocket error' ? 'the server cannot be reached' : error.message);
}
