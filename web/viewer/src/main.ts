/** The page: joins the room of its link and shows it. */
import { AudioPlayer, PosewireError, Session, canSeal, readRoomKey, type Credentials, type LinkState } from '@posewire/client';
import { ask } from './entry';
import { forget, keep, takeInvitation } from './fragment';
import { gestures } from './gestures';
import { Meter } from './meter';
import { Panel } from './panel';
import { People } from './people';
import { Stage } from './stage';
import { theme } from './theme';
import { viewMode } from './view-mode';

const find = <Type extends HTMLElement>(id: string): Type => document.getElementById(id) as Type;
const FIGURES_EVERY = 500;
const TURN = 0.12;

const [grid, canvas, panelRoot, empty] = [find('grid'), find<HTMLCanvasElement>('canvas'), find('panel'), find('empty')];

function makeStage(): Stage | null {
  try {
    return new Stage(canvas);
  } catch (error) {
    console.error(error);
    return null;
  }
}

const stage = makeStage();
const people = new People(grid, stage);
const panel = new Panel(panelRoot);
const player = new AudioPlayer(new URL('./assets/audio-worklet.js', location.href));
const meter = new Meter();
Object.assign(globalThis, { posewireMeter: meter });
let session: Session | null = null;

// Saying how it is ----------------------------------------------------------------------------------------------------

function alertWith(text: string, button = '', act: () => void = () => undefined): void {
  find('alert-text').textContent = text;
  find('alert').hidden = text === '';
  const action = find('alert-button');
  action.textContent = button;
  action.hidden = button === '';
  action.onclick = act;
}

const WORDS: Record<LinkState, string> = { connecting: 'Connecting …', connected: 'Live', waiting: 'Reconnecting …', closed: 'Ended' };

function showState(): void {
  const state = session?.state ?? 'connecting';
  document.body.dataset.state = state;
  find('state').textContent = WORDS[state];
  if (state === 'waiting' || (state === 'connecting' && session?.reason)) {
    alertWith(`Reconnecting: ${session?.reason || 'the connection was lost'}. What you see is not live.`, 'Try now', () => session?.retry());
  } else if (state === 'closed') alertWith(`The session has ended: ${session?.reason || 'closed'}.`, 'Join again', () => location.reload());
  else alertWith(stage ? '' : 'This browser shows no 3D (WebGL is off), so there is nobody to see; the figures are real.');
}

function showEmpty(): void {
  const room = session?.room.name ?? '';
  empty.hidden = people.count > 0 || session?.state !== 'connected';
  empty.textContent = `Nobody is in “${room}” yet. Somebody who sends appears here by itself: posewire send --room ${room} …`;
}

// Joining -------------------------------------------------------------------------------------------------------------

async function join(): Promise<void> {
  let invitation = takeInvitation();
  let credentials: Credentials | null = invitation.token ? { token: invitation.token } : null;
  for (let problem = ''; ; ) {
    if (!credentials || !invitation.room) {
      const entry = await ask(invitation, problem);
      credentials = entry.credentials;
      invitation = { room: entry.room, key: entry.key || invitation.key, token: 'token' in credentials ? String(credentials.token) : '' };
    }
    try {
      await enter(invitation.room, invitation.key, credentials);
      keep(invitation);
      return;
    } catch (error) {
      console.warn(error);
      forget();
      problem = explain(error);
      credentials = null;
    }
  }
}

function explain(error: unknown): string {
  if (!(error instanceof PosewireError)) return String(error);
  if (error.code === 401 || error.type === 'AuthError') return `The server does not let you in: ${error.message}`;
  return error.message;
}

async function enter(room: string, key: string, credentials: Credentials): Promise<void> {
  find('title').textContent = room;
  document.title = `${room} · Posewire`;
  if (key && !canSeal()) throw new PosewireError('SecurityError', 'A sealed room needs https, or localhost: the browser gives this page no cryptography.');
  const joined = new Session({ url: location.origin, room, ...credentials, ...(key ? { roomKey: readRoomKey(key) } : {}) });
  listenTo(joined);
  session = joined;
  try {
    await joined.open();
  } catch (error) {
    session = null;
    joined.close();
    showState();
    throw error;
  }
  document.body.dataset.joined = 'true';
}

function listenTo(joined: Session): void {
  joined.on('state', (state) => {
    if (state === 'connected') meter.mark('joined');
    showState();
    showEmpty();
  });
  joined.on('presence', () => {
    people.sync(joined);
    showEmpty();
  });
  joined.on('pose', (frame) => {
    meter.age(frame.age);
    people.pose(frame);
  });
  joined.on('audio', (frame) => {
    people.audio(frame);
    player.play(`${frame.userId}\n${frame.stream}`, frame.content);
  });
  joined.on('notice', (text) => alertWith(text, 'Close', showState));
}

// Drawing -------------------------------------------------------------------------------------------------------------

let drawn = 0;
let busy = 0;
let lastAt = performance.now();
let lastSpent = 0;

function draw(at: number): void {
  requestAnimationFrame(draw);
  const begun = performance.now();
  const moved = people.move(performance.timeOrigin + begun, Math.min(1, Math.max(0, (at - lastAt) / 1000)));
  const placed = performance.now();
  stage?.draw(people.places, at);
  const done = performance.now();
  const spent = session?.spent ?? 0;
  meter.picture(Math.max(0, spent - lastSpent), placed - begun, done - placed, at - lastAt);
  if (moved) meter.mark('moved');
  lastAt = at;
  lastSpent = spent;
  drawn++;
  busy += done - begun;
}

function sealProblem(joined: Session): string {
  const [noKey, wrong, unsealed] = ['no_key', 'wrong_key', 'unsealed'].map((word) => joined.drops.get(word) ?? 0);
  if (joined.drops.has('no_crypto')) return 'The browser gives a page over plain http no cryptography, so nobody can be shown: use https, or localhost.';
  if (noKey) return 'Somebody here seals what they send: this page has no room key (#key=… in the link).';
  if (wrong) return 'Somebody here seals with another room key.';
  return unsealed ? 'Somebody here sends unsealed, and is not shown: this page has a room key.' : '';
}

let figuresAt = performance.now();
let sealSaid = '';

function figures(): void {
  const now = performance.now();
  const seconds = (now - figuresAt) / 1000;
  figuresAt = now;
  const page = `This page draws ${(drawn / seconds).toFixed(0)} pictures a second, ${(busy / Math.max(1, drawn)).toFixed(1)} ms each.`;
  Object.assign(document.body.dataset, { fps: (drawn / seconds).toFixed(1), ms: (busy / Math.max(1, drawn)).toFixed(2) });
  drawn = busy = 0;
  if (!session) return;
  const rows = people.figures(session);
  const drops = [...session.drops].map(([word, count]) => `${word} ${count}`).join(', ');
  const clock = Number.isFinite(session.clock.roundTrip) ? ` Clock within ${(session.clock.roundTrip / 2000).toFixed(1)} ms.` : '';
  if (!panelRoot.hidden) panel.update(rows, `${page}${clock}${drops ? ` Refused: ${drops}.` : ''}`);
  const problem = sealProblem(session);
  if (problem !== sealSaid && session.state === 'connected') alertWith((sealSaid = problem));
}

// Controls ------------------------------------------------------------------------------------------------------------

const press = (id: string, on: boolean): void => find(id).setAttribute('aria-pressed', String(on));

async function toggleSound(): Promise<void> {
  try {
    await (player.playing ? player.stop() : player.start());
  } catch (error) {
    alertWith(`No sound: ${String(error)}`, 'Close', showState);
  }
  press('sound', player.playing);
}

function toggleSmooth(): void {
  people.mode = people.mode === 'smooth' ? 'latest' : 'smooth';
  press('smooth', people.mode === 'smooth');
}

function togglePanel(open = panelRoot.hidden): void {
  panelRoot.hidden = !open;
  find('panel-toggle').setAttribute('aria-expanded', String(open));
  if (session) people.sync(session);
}

const switchTheme = theme((dark) => (people.dark = dark));
const switchView = viewMode((view) => {
  document.body.dataset.view = view;
  press('space', view === 'space');
  people.view = view;
});
const help = find<HTMLDialogElement>('help');

const focused = (): string | null => document.activeElement?.closest<HTMLElement>('.tile')?.dataset.user ?? null;

const KEYS: Record<string, () => void> = {
  ArrowLeft: () => stage?.turn(-TURN, 0),
  ArrowRight: () => stage?.turn(TURN, 0),
  ArrowUp: () => stage?.turn(0, TURN),
  ArrowDown: () => stage?.turn(0, -TURN),
  '+': () => stage?.zoom(1.15),
  '=': () => stage?.zoom(1.15),
  '-': () => stage?.zoom(1 / 1.15),
  '0': () => stage?.reset(),
  Enter: () => people.enlarge(focused()),
  Escape: () => people.enlarge(null),
  m: () => void toggleSound(),
  s: toggleSmooth,
  p: () => togglePanel(),
  l: switchTheme,
  v: switchView,
  '?': () => help.showModal(),
};

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const target = event.target as HTMLElement;
  if (target.closest('button, input') && (event.key === 'Enter' || event.key === ' ')) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

find('sound').onclick = () => void toggleSound();
find('smooth').onclick = toggleSmooth;
find('panel-toggle').onclick = () => togglePanel();
find('theme').onclick = switchTheme;
find('space').onclick = switchView;
find('help-open').onclick = () => help.showModal();

if (stage) gestures(find('stage'), stage);
addEventListener('resize', () => session && people.sync(session));
addEventListener('online', () => session?.retry());
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) session?.retry();
});
// The seat is given up at once, not after a time.
addEventListener('pagehide', () => session?.close());
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
});
addEventListener('hashchange', () => location.reload());

togglePanel(innerWidth >= 900);
showState();
meter.mark('running');
requestAnimationFrame(draw);
setInterval(figures, FIGURES_EVERY);
void join();
