/** Turning and zooming: by mouse, finger and wheel. Keys are in `main.ts`. */
import type { Stage } from './stage';

const TURN = 0.008;

export function gestures(surface: HTMLElement, stage: Stage): void {
  const pointers = new Map<number, { x: number; y: number }>();
  const distance = (): number => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  surface.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  surface.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const apart = pointers.size === 2 ? distance() : 0;
    const [x, y] = [event.clientX - before.x, event.clientY - before.y];
    Object.assign(before, { x: event.clientX, y: event.clientY });
    if (pointers.size === 2 && apart > 0) stage.zoom(distance() / apart);
    else if (pointers.size === 1) stage.turn(-TURN * x, TURN * y);
  });
  for (const name of ['pointerup', 'pointercancel'] as const) addEventListener(name, (event) => pointers.delete(event.pointerId));
  surface.addEventListener('wheel', (event) => {
    if (event.ctrlKey || event.metaKey || surface.scrollHeight <= surface.clientHeight) {
      event.preventDefault();
      stage.zoom(Math.exp(-event.deltaY / 600));
    }
  }, { passive: false });
}
