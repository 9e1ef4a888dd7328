/** Draws every person into the place of its tile: one canvas, one scene, one picture for each tile. */
import { AmbientLight, DirectionalLight, PerspectiveCamera, Scene, WebGLRenderer } from 'three';
import type { Figure } from './figure';

const FIELD = 24;
const MOST_PITCH = 1.35;
const ZOOMS: readonly [number, number] = [0.45, 3];
/** Pixels for one of the page's: finer ones cost more than they show, and coarser ones are seen and save nothing. */
const RATIOS: readonly [number, number] = [1, 2];
/** Pictures a second below which they become coarser, and above which finer; and how many are looked at. */
const SLOW = 40;
const QUICK = 57;
const LOOKED_AT = 60;
const SHOWN = 1.32;

/** What is drawn where: a figure, in the rectangle of an element. */
export interface Place {
  readonly figure: Figure;
  readonly element: Element;
}

/** How one looks at everybody. */
export interface View {
  yaw: number;
  pitch: number;
  zoom: number;
}

export class Stage {
  readonly view: View = { yaw: 0.35, pitch: 0.12, zoom: 1 };
  readonly #canvas: HTMLCanvasElement;
  readonly #renderer: WebGLRenderer;
  readonly #scene = new Scene();
  #ratio = RATIOS[1];
  #begun = 0;
  #drawn = 0;
  readonly #camera = new PerspectiveCamera(FIELD, 1, 0.1, 60);

  /** Throws where there is no WebGL. */
  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    // Without a GPU every sample costs as much as a pixel more.
    this.#renderer = new WebGLRenderer({ canvas, antialias: !drawnBySoftware(), alpha: true, powerPreference: 'high-performance' });
    this.#renderer.setScissorTest(true);
    this.#renderer.setClearColor(0, 0);
    const sun = new DirectionalLight(0xffffff, 2.1);
    sun.position.set(1.2, 2.4, 2.6);
    this.#scene.add(new AmbientLight(0xffffff, 1.25), sun);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  add(figure: Figure): void {
    this.#scene.add(figure.group);
  }

  remove(figure: Figure): void {
    this.#scene.remove(figure.group);
    figure.dispose();
  }

  #resize(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#renderer.setPixelRatio(Math.min(this.#ratio, devicePixelRatio));
    this.#renderer.setSize(Math.max(1, clientWidth), Math.max(1, clientHeight), false);
  }

  /** Turns the view, in radians. */
  turn(yaw: number, pitch: number): void {
    this.view.yaw += yaw;
    this.view.pitch = Math.max(-MOST_PITCH, Math.min(MOST_PITCH, this.view.pitch + pitch));
  }

  zoom(factor: number): void {
    this.view.zoom = Math.max(ZOOMS[0], Math.min(ZOOMS[1], this.view.zoom * factor));
  }

  reset(): void {
    Object.assign(this.view, { yaw: 0.35, pitch: 0.12, zoom: 1 });
  }

  draw(places: readonly Place[], now: number): void {
    this.#adapt(now);
    const whole = this.#canvas.getBoundingClientRect();
    const renderer = this.#renderer;
    renderer.setScissor(0, 0, whole.width, whole.height);
    renderer.clear();
    const visible = places.map(({ figure }) => figure.group.visible);
    for (const { figure } of places) figure.group.visible = false;
    places.forEach(({ figure, element }, i) => {
      const { left, bottom, width, height, top, right } = element.getBoundingClientRect();
      if (!visible[i] || width === 0 || bottom < whole.top || top > whole.bottom || right < whole.left || left > whole.right) return;
      const [x, y] = [left - whole.left, whole.bottom - bottom]; // from below, as WebGL counts
      renderer.setViewport(x, y, width, height);
      renderer.setScissor(x, y, width, height);
      this.#look(width / height, figure.framing);
      figure.group.visible = true;
      renderer.render(this.#scene, this.#camera);
      figure.group.visible = false;
    });
    places.forEach(({ figure }, i) => (figure.group.visible = visible[i]));
  }

  /** Coarser pixels where the pictures come too slowly: a machine without a GPU. */
  #adapt(now: number): void {
    if (++this.#drawn < LOOKED_AT) return;
    const rate = (1000 * this.#drawn) / (now - this.#begun);
    const ratio = Math.min(this.#ratio, devicePixelRatio) * (rate < SLOW ? 0.8 : rate > QUICK ? 1.1 : 1);
    this.#ratio = Math.max(RATIOS[0], Math.min(RATIOS[1], ratio));
    this.#begun = now;
    this.#drawn = 0;
    this.#resize();
  }

  #look(aspect: number, { breadth, depth }: { breadth: number; depth: number }): void {
    const { yaw, pitch, zoom } = this.view;
    const across = breadth * Math.abs(Math.cos(yaw)) + depth * Math.abs(Math.sin(yaw));
    // The whole person, whichever way the tile is longer.
    const distance = (SHOWN / zoom / (2 * Math.tan((FIELD * Math.PI) / 360))) * Math.max(1, (1.08 * across) / aspect);
    this.#camera.aspect = aspect;
    this.#camera.position.set(
      distance * Math.sin(yaw) * Math.cos(pitch), distance * Math.sin(pitch), distance * Math.cos(yaw) * Math.cos(pitch),
    );
    this.#camera.lookAt(0, 0, 0);
    this.#camera.updateProjectionMatrix();
  }
}

/** Whether this machine has no GPU to speak of. */
function drawnBySoftware(): boolean {
  const context = document.createElement('canvas').getContext('webgl2');
  const info = context?.getExtension('WEBGL_debug_renderer_info');
  const name = info ? String(context?.getParameter(info.UNMASKED_RENDERER_WEBGL)) : '';
  context?.getExtension('WEBGL_lose_context')?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}
