/** This client, and Python's server and members. Skipped where there is no Python with Posewire. */
import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type Session, type SessionOptions } from '../src/session.js';
import { PosewireError } from '../src/errors.js';
import type { Pose } from '../src/pose.js';
import type { Frame, MemberEvent } from '../src/receiver.js';
import { hex, load, poseOf, toHex } from './vectors.js';
import { bytesOfFloats } from '../src/pose.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PYTHON = [process.env.POSEWIRE_PYTHON, `${ROOT}.venv/bin/python`, 'python3'].find(
  (each) => each && (each === 'python3' || existsSync(each)),
) as string;
const ENVIRONMENT = { ...process.env, PYTHONPATH: `${ROOT}src` };
const HAS_PYTHON = spawnSync(PYTHON, ['-c', 'import posewire'], { env: ENVIRONMENT }).status === 0;
const SECONDS = 20_000;

class Peer {
  readonly lines: any[] = [];
  #process: ChildProcessWithoutNullStreams;
  #wake: (() => void)[] = [];

  constructor() {
    this.#process = spawn(PYTHON, [fileURLToPath(new URL('peer.py', import.meta.url))], { env: ENVIRONMENT, stdio: 'pipe' });
    this.#process.stderr.pipe(process.stderr);
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.lines.push(JSON.parse(line));
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  send(command: object): void {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
  }

  /** The first line from now on, or from `after` on, that is as wanted. */
  async line(wanted: (line: any) => unknown, after = this.lines.length): Promise<any> {
    const deadline = Date.now() + SECONDS;
    for (;;) {
      const found = this.lines.slice(after).find(wanted);
      if (found) return found;
      if (Date.now() > deadline) throw new Error(`no such line; the last are ${JSON.stringify(this.lines.slice(-3))}`);
      await new Promise<void>((resolve) => {
        this.#wake.push(resolve);
        setTimeout(resolve, 500);
      });
    }
  }

  async ask(command: object, wanted: (line: any) => unknown): Promise<any> {
    const after = this.lines.length;
    this.send(command);
    return this.line(wanted, after);
  }

  end(): void {
    this.#process.stdin.end();
  }
}

/** The next value of an event that is as wanted. */
function next<Value>(on: (listener: (value: Value) => void) => () => void, wanted: (value: Value) => boolean = () => true): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it did not come')), SECONDS);
    const off = on((value) => {
      if (!wanted(value)) return;
      clearTimeout(timer);
      off();
      resolve(value);
    });
  });
}

const frames = (session: Session) => (listener: (frame: Frame<Pose>) => void) => session.on('pose', listener);
const states = (session: Session) => (listener: (state: string) => void) => session.on('state', listener);

describe.skipIf(!HAS_PYTHON)('with a server in Python', () => {
  let peer: Peer;
  let url: string;
  let port: number;
  const sessions: Session[] = [];

  const join = async (name: string, options: Partial<SessionOptions> & { room: string }): Promise<Session> => {
    const { token } = await peer.ask({ do: 'token', name }, (line) => line.token);
    const session = await connect({ url, token, ...options } as SessionOptions);
    sessions.push(session);
    return session;
  };

  beforeAll(async () => {
    peer = new Peer();
    ({ url, port } = await peer.ask({ do: 'serve' }, (line) => line.url));
  }, SECONDS);
  afterAll(() => {
    for (const session of sessions) session.close();
    peer.end();
  });

  test.each([2, 3])('poses of version %i, presence, events, figures, MAC', async (version) => {
    const room = `v${version}`;
    const session = await join(`watcher${version}`, { room });
    const arrived = next<any>((listener) => session.on('presence', listener), ({ type }) => type === 'stream');
    peer.send({ do: 'member', name: 'py', room, version });
    await arrived;
    expect(session.room.members.get('py')?.salt.length).toBe(16);
    const first = await next(frames(session));
    expect([first.userId, first.content.pose?.length, first.content.skeleton]).toEqual(['py', 132, 'mediapipe33']);
    const event = await next<MemberEvent>((listener) => session.on('event', listener));
    expect([event.name, event.userId]).toEqual(['tick', 'py']);
    const later = await next(frames(session), ({ seq }) => seq >= first.seq + 20);
    expect(later.age).toBeGreaterThan(-5);
    expect(later.age).toBeLessThan(2000);
    const [figures] = session.stats();
    expect(figures.fps).toBeGreaterThan(5);
    expect(figures.frames).toBeGreaterThan(20);
    expect(session.drops.get('altered')).toBeUndefined();
    expect(session.drops.get('damaged')).toBeUndefined();
  }, 2 * SECONDS);

  test('a late joiner gets the picture, and what refers to it', async () => {
    const first = await join('early', { room: 'late' });
    peer.send({ do: 'member', name: 'py', room: 'late' });
    await next(frames(first), ({ seq }) => seq > 10);
    const second = await join('latecomer', { room: 'late' });
    await next(frames(second));
    expect(second.drops.get('missing_reference') ?? 0).toBe(0);
  }, 2 * SECONDS);

  test.each([2, 3] as const)('what we publish in version %i arrives in Python', async (version) => {
    const room = `ours${version}`;
    const session = await join(`web${version}`, { room });
    peer.send({ do: 'member', name: 'py', room });
    const publisher = await session.publishPoses('main', { version });
    const sources = load('v3').streams[1].frames.map(({ pose }: any) => poseOf(pose)); // on the steps: exact in both versions
    const sending = setInterval(() => publisher.send(sources[publisher.sent % sources.length]), 33);
    try {
      const after = peer.lines.length;
      for (let count = 0; count < 3; count++) {
        const line = await peer.line(({ frame, user }) => user === `web${version}` && frame >= 9 + 5 * count, after);
        const matching = sources.some((pose: Pose) =>
          (['pose', 'face', 'hands'] as const).every((slot) => {
            const floats = pose[slot];
            return same(line[slot], floats && toHex(bytesOfFloats(floats)));
          }));
        expect(matching).toBe(true);
        expect(line.age).toBeGreaterThan(-0.1);
        expect(line.age).toBeLessThan(2);
      }
      const gesture = peer.line(({ event }) => event === 'gesture', after);
      expect(await session.sendEvent('gesture', { name: 'wave', times: 2 })).toBe(1);
      expect(await gesture).toMatchObject({ data: { name: 'wave', times: 2 }, user: `web${version}` });
    } finally {
      clearInterval(sending);
    }
  }, 2 * SECONDS);

  test('a sealed room, with the key, without it, and with another', async () => {
    const key = 'correct horse battery';
    const [insider, outsider] = [await join('insider', { room: 'sealed', roomKey: key }), await join('outsider', { room: 'sealed' })];
    const wrong = await join('wrong', { room: 'sealed', roomKey: 'another horse altogether' });
    const refused = next<{ word: string }>((listener) => outsider.on('drop', listener));
    const refusedToo = next<{ word: string }>((listener) => wrong.on('drop', listener));
    const after = peer.lines.length;
    peer.send({ do: 'member', name: 'py', room: 'sealed', key });
    expect((await next(frames(insider))).content.pose?.length).toBe(132);
    expect((await refused).word).toBe('no_key');
    expect((await refusedToo).word).toBe('wrong_key');
    const publisher = await insider.publishPoses();
    const source = poseOf(load('v3').streams[0].frames[0].pose);
    publisher.send(source);
    const line = await peer.line(({ user }) => user === 'insider', after);
    expect(line.pose).toBe(load('v3').streams[0].frames[0].pose.pose);
  }, 2 * SECONDS);

  test('sound', async () => {
    const session = await join('listener', { room: 'loud' });
    peer.send({ do: 'member', name: 'py', room: 'loud', audio: true });
    const { content, userId } = await next<any>((listener) => session.on('audio', listener));
    expect([userId, content.sampleRate, content.channels, content.samples.length, content.samples[0]]).toEqual(['py', 48_000, 1, 480, 1000]);
  }, 2 * SECONDS);

  test('a connection that is cut, and a server that is started anew', async () => {
    const session = await join('steadfast', { room: 'cut' });
    peer.send({ do: 'member', name: 'py', room: 'cut' });
    const publisher = await session.publishPoses();
    await next(frames(session));
    const number = session.number;
    const lost = next(states(session), (state) => state === 'waiting');
    session.cut();
    await lost;
    await next(states(session), (state) => state === 'connected');
    expect(session.number).toBe(number); // the seat was held
    await next(frames(session));
    const gone = next(states(session), (state) => state === 'waiting');
    await peer.ask({ do: 'stop' }, (line) => line.stopped);
    await gone;
    const back = next(states(session), (state) => state === 'connected');
    await peer.ask({ do: 'serve', port }, (line) => line.url);
    await back;
    await next(frames(session)); // Python's member came back too
    const after = peer.lines.length;
    publisher.send(poseOf(load('v3').streams[0].frames[0].pose));
    await peer.line(({ user }) => user === 'steadfast', after);
  }, 3 * SECONDS);

  test('name and password', async () => {
    const session = await connect({ url, username: 'carol', password: 'a long password', room: 'login' });
    sessions.push(session);
    expect(session.userId).toBe('carol');
    const wrong = connect({ url, username: 'carol', password: 'a wrong password', room: 'login' });
    await expect(wrong).rejects.toMatchObject({ type: 'AuthError' });
  }, SECONDS);

  test('a wrong token is refused with a reason; a revoked one ends the session', async () => {
    const wrong = connect({ url, token: 'nonsense', room: 'studio' });
    await expect(wrong).rejects.toBeInstanceOf(PosewireError);
    const session = await join('mallory', { room: 'studio' });
    const ended = next(states(session), (state) => state === 'closed');
    peer.send({ do: 'kick', name: 'mallory' });
    await ended;
    expect(session.reason).toMatch(/enough|revoked/);
  }, SECONDS);
});

/** Whether two parts are the same, one NaN being like another. */
function same(a: string | null, b: string | null): boolean {
  if (a === null || b === null) return a === b;
  const [x, y] = [a, b].map((text) => new Float32Array(hex(text).slice().buffer));
  return x.length === y.length && x.every((value, i) => Object.is(value, y[i]));
}
