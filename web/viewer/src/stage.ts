/** Draws everybody on one canvas: each into the place of its tile, or all in one space with their names above them. */
import { AmbientLight, DirectionalLight, GridHelper, PerspectiveCamera, Scene, Vector3, WebGLRenderer } from 'three';
import type { Figure } from './figure';
import { reachOf, spotsFor } from './space';
import type { ViewMode } from './view-mode';

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
/** In one space one looks down on people a little, so that those behind are seen; and names hang over their heads. */
const FROM_ABOVE = 0.2;
const OVER_HEAD = 0.6;
const GROUND = -0.52;
/** Share of the way to a new spot in a second, as an exponent. */
const WALK = 6;

/** What is drawn where: a figure, in the rectangle of an element; or under its name, in one space. */
export interface Place {
  readonly figure: Figure;
  readonly element: Element;
  readonly name: HTMLElement;
  /** Looked at alone. */
  readonly large: boolean;
}

/** How one looks at everybody. */
export interface View {
  yaw: number;
  pitch: number;
  zoom: number;
}

export class Stage {
  readonly view: View = { yaw: 0.35, pitch: 0.12, zoom: 1 };
  mode: ViewMode = 'grid';
  readonly #canvas: HTMLCanvasElement;
  readonly #renderer: WebGLRenderer;
  readonly #scene = new Scene();
  #ratio = RATIOS[1];
  #begun = 0;
  #drawn = 0;
  #last = 0;
  readonly #camera = new PerspectiveCamera(FIELD, 1, 0.1, 120);
  readonly #ground = new GridHelper(12, 24, 0x808080, 0x808080);
  /** What one looks at, and a place for sums. */
  readonly #target = new Vector3();
  readonly #sum = new Vector3();
  readonly #over = new Vector3(0, OVER_HEAD, 0);
  /** Where the elements are: asking for it makes the browser lay out the page, in the middle of a picture. */
  readonly #rects = new Map<Element, DOMRect>();
  readonly #observer = new ResizeObserver(() => this.laidOut());

  /** Throws where there is no WebGL. */
  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    // Without a GPU every sample costs as much as a pixel more.
    this.#renderer = new WebGLRenderer({ canvas, antialias: !drawnBySoftware(), alpha: true, powerPreference: 'high-performance' });
    this.#renderer.setScissorTest(true);
    this.#renderer.setClearColor(0, 0);
    const sun = new DirectionalLight(0xffffff, 2.1);
    sun.position.set(1.2, 2.4, 2.6);
    this.#ground.position.y = GROUND;
    Object.assign(this.#ground.material, { transparent: true, opacity: 0.28, depthWrite: false });
    this.#scene.add(new AmbientLight(0xffffff, 1.25), sun, this.#ground);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  add(figure: Figure, element: Element): void {
    this.#scene.add(figure.group);
    this.#observer.observe(element);
  }

  remove(figure: Figure, element: Element): void {
    this.#scene.remove(figure.group);
    this.#observer.unobserve(element);
    figure.dispose();
  }

  /** Elements are elsewhere, maybe. */
  laidOut(): void {
    this.#rects.clear();
  }

  #resize(): void {
    this.laidOut();
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
    const { width, height } = this.#rectOf(this.#canvas);
    this.#renderer.setScissor(0, 0, width, height);
    this.#renderer.clear();
    this.#ground.visible = this.mode === 'space';
    if (this.mode === 'grid') this.#drawGrid(places);
    else this.#drawSpace(places, Math.min(1, (now - this.#last) / 1000));
    this.#last = now;
  }

  #drawGrid(places: readonly Place[]): void {
    const whole = this.#rectOf(this.#canvas);
    const renderer = this.#renderer;
    const visible = places.map(({ figure }) => figure.group.visible);
    for (const { figure } of places) figure.group.visible = false;
    places.forEach(({ figure, element }, i) => {
      const { left, bottom, width, height, top, right } = this.#rectOf(element);
      if (!visible[i] || width === 0 || bottom < whole.top || top > whole.bottom || right < whole.left || left > whole.right) return;
      const [x, y] = [left - whole.left, whole.bottom - bottom]; // from below, as WebGL counts
      renderer.setViewport(x, y, width, height);
      renderer.setScissor(x, y, width, height);
      const { breadth, depth } = figure.framing;
      const { yaw, pitch, zoom } = this.view;
      const across = breadth * Math.abs(Math.cos(yaw)) + depth * Math.abs(Math.sin(yaw));
      // The whole person, whichever way the tile is longer.
      this.#look(width / height, pitch, (SHOWN / zoom) * Math.max(1, (1.08 * across) / (width / height)));
      figure.group.position.set(0, 0, 0);
      figure.group.visible = true;
      renderer.render(this.#scene, this.#camera);
      figure.group.visible = false;
    });
    places.forEach(({ figure }, i) => (figure.group.visible = visible[i]));
  }

  #drawSpace(places: readonly Place[], seconds: number): void {
    const { width, height } = this.#rectOf(this.#canvas);
    const spots = spotsFor(places.length);
    const walked = 1 - Math.exp(-WALK * seconds);
    const focus = places.findIndex(({ large }) => large);
    places.forEach(({ figure: { group, floor } }, i) => {
      group.position.lerp(this.#sum.set(spots[i].x, floor === null ? 0 : GROUND - floor, spots[i].z), walked);
    });
    const { yaw, pitch, zoom } = this.view;
    const reach = focus < 0 ? reachOf(spots) : reachOf(spotsFor(1));
    this.#target.lerp(focus < 0 ? this.#sum.set(0, 0, 0) : places[focus].figure.group.position, walked);
    const across = 2 * (reach.x * Math.abs(Math.cos(yaw)) + reach.z * Math.abs(Math.sin(yaw)));
    const above = Math.min(MOST_PITCH, pitch + FROM_ABOVE);
    const tall = SHOWN + 2 * reach.z * Math.abs(Math.sin(above));
    this.#look(width / height, above, Math.max(tall, (1.1 * across) / (width / height)) / zoom, 0.4 * reach.z);
    this.#renderer.setViewport(0, 0, width, height);
    this.#renderer.render(this.#scene, this.#camera);
    for (const { figure, name } of places) {
      const at = this.#sum.copy(figure.group.position).add(this.#over).project(this.#camera);
      name.style.transform = `translate(${((at.x + 1) / 2 * width).toFixed(1)}px, ${((1 - at.y) / 2 * height).toFixed(1)}px) translate(-50%, -100%)`;
    }
  }

  #rectOf(element: Element): DOMRect {
    let rect = this.#rects.get(element);
    if (!rect) this.#rects.set(element, (rect = element.getBoundingClientRect()));
    return rect;
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

  /** Looks at the target from where so much of its height is seen; `nearer`: how far what is shown comes towards us. */
  #look(aspect: number, pitch: number, shown: number, nearer = 0): void {
    const { yaw } = this.view;
    const distance = shown / (2 * Math.tan((FIELD * Math.PI) / 360)) + nearer;
    if (this.mode === 'grid') this.#target.set(0, 0, 0);
    this.#camera.aspect = aspect;
    this.#camera.position
      .set(Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch))
      .multiplyScalar(distance)
      .add(this.#target);
    this.#camera.lookAt(this.#target);
    this.#camera.updateProjectionMatrix();
    this.#camera.updateMatrixWorld();
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
