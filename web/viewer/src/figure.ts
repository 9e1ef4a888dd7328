/** One person in 3D: bones, joints, the lines of the face. Nothing is made anew from frame to frame. */
import {
  BufferAttribute, BufferGeometry, CircleGeometry, Color, CylinderGeometry, DynamicDrawUsage, Group, LineBasicMaterial, LineSegments, Matrix4, Mesh,
  MeshBasicMaterial, Points, PointsMaterial, Quaternion, SphereGeometry, Vector3,
} from 'three';
import type { Pose } from '@posewire/client';
import { Batch, Copies } from './batch';
import { Framing } from './framing';
import { FACE, HAND, POSE, POSE_FACE, Y_UP, bonesOf, type Bone } from './topology';

const MEDIAPIPE = 'mediapipe33';
const MOST_POINTS = 2048;
const HAND_POINTS = 21;
const FACE_POINTS = 478;
/** Of the person's size. */
const BONE = 0.0135;
const JOINT = 0.017;
const FINE = 0.45;
/** MediaPipe guesses depth, and guesses too much of it: heads hang before chests. Of what it says, so much is shown. */
const DEPTH = 0.55;

const UP = new Vector3(0, 1, 0);
const BONES = new Copies(new CylinderGeometry(1, 1, 1, 7, 1, true), 256);
const JOINTS = new Copies(new SphereGeometry(1, 8, 6), 512);
/** Of fingers: some pixels wide, and there are many. */
const FINE_JOINTS = new Copies(new SphereGeometry(1, 5, 4), 64);
const FLOOR_SHAPE = new CircleGeometry(0.36, 40).rotateX(-Math.PI / 2);

/** Colours of a person: it and its left and right side. */
export interface Palette {
  readonly middle: Color;
  readonly left: Color;
  readonly right: Color;
  readonly face: Color;
}

export function paletteOf(hue: number, dark: boolean): Palette {
  const of = (shift: number, light: number) => new Color().setHSL((((hue + shift) % 360) + 360) % 360 / 360, 0.55, light);
  const base = dark ? 0.62 : 0.44;
  return { middle: of(0, base), left: of(-22, base - 0.04), right: of(22, base + 0.08), face: of(0, dark ? 0.78 : 0.3) };
}

/** A part, placed: x, y, z, visibility of each point. */
interface Placed {
  readonly points: Float32Array;
  readonly count: number;
}

export class Figure {
  readonly group = new Group();
  /** How it is placed: in units of the person's height, about the origin. */
  readonly framing = new Framing();
  readonly #bones = new Batch(BONES);
  readonly #joints = new Batch(JOINTS);
  readonly #fine = new Batch(FINE_JOINTS);
  readonly #floor = new Mesh(FLOOR_SHAPE, new MeshBasicMaterial({ transparent: true, opacity: 0.16, depthWrite: false }));
  readonly #facePositions = new BufferAttribute(new Float32Array(3 * FACE_POINTS), 3).setUsage(DynamicDrawUsage);
  readonly #faceLines: LineSegments<BufferGeometry, LineBasicMaterial>;
  readonly #facePoints: Points<BufferGeometry, PointsMaterial>;
  readonly #body = new Float32Array(4 * MOST_POINTS);
  readonly #face = new Float32Array(4 * FACE_POINTS);
  readonly #hands = new Float32Array(8 * HAND_POINTS);
  readonly #middles = new Float32Array(8);
  #palette: Palette;
  readonly #scratch = { a: new Vector3(), b: new Vector3(), middle: new Vector3(), scale: new Vector3(), turn: new Quaternion(), matrix: new Matrix4() };

  constructor(palette: Palette) {
    this.#palette = palette;
    const lines = new BufferGeometry().setAttribute('position', this.#facePositions).setIndex(FACE.flat());
    const points = new BufferGeometry().setAttribute('position', this.#facePositions);
    this.#faceLines = new LineSegments(lines, new LineBasicMaterial());
    this.#facePoints = new Points(points, new PointsMaterial({ size: 1.6, sizeAttenuation: false, transparent: true, opacity: 0.55 }));
    for (const each of [this.#faceLines, this.#facePoints]) each.frustumCulled = false;
    this.group.add(this.#floor, this.#bones.mesh, this.#joints.mesh, this.#fine.mesh, this.#faceLines, this.#facePoints);
    this.palette = palette;
  }

  /** Height of the floor under somebody whose feet are there; null without. */
  get floor(): number | null {
    return this.#floor.visible ? this.#floor.position.y : null;
  }

  set palette(palette: Palette) {
    this.#palette = palette;
    this.#faceLines.material.color = palette.face;
    this.#facePoints.material.color = palette.face;
    this.#floor.material.color = palette.middle;
  }

  /** Shows a pose; null shows nobody. `seconds` since the last. */
  show(pose: Pose | null, seconds: number): void {
    this.group.visible = pose !== null;
    if (!pose) return;
    const [body, face, hands] = this.#place(pose, seconds);
    const batches = [this.#bones, this.#joints, this.#fine];
    for (const batch of batches) batch.begin();
    if (body) this.#drawBody(pose.skeleton, body, face !== null, hands);
    if (hands) for (const side of [0, 1]) this.#drawHand(hands, side);
    for (const batch of batches) batch.end();
    this.#drawFace(face);
  }

  dispose(): void {
    for (const batch of [this.#bones, this.#joints, this.#fine]) batch.dispose();
    this.#faceLines.geometry.dispose();
    this.#facePoints.geometry.dispose();
  }

  /** Places the parts about the origin, a person one unit tall, y up. Depths of face and hands begin at nose and wrists. */
  #place(pose: Pose, seconds: number): [Placed | null, Placed | null, Float32Array | null] {
    const main = pose.pose ?? pose.face ?? pose.hands;
    if (!main) return [null, null, null];
    this.framing.look(main, 4, seconds);
    const { centre, size } = this.framing;
    const flip = Y_UP.has(pose.skeleton) ? 1 : -1;
    const deep = flip === 1 ? 1 : -DEPTH;
    const place = (from: Float32Array, into: Float32Array, begin: number, end: number, depth: number) => {
      for (let i = 4 * begin; i < 4 * end; i += 4) {
        into[i] = (from[i] - centre[0]) / size;
        into[i + 1] = (flip * (from[i + 1] - centre[1])) / size;
        into[i + 2] = (deep * (from[i + 2] - centre[2])) / size + depth;
        into[i + 3] = Number.isNaN(from[i + 3]) ? 1 : from[i + 3];
      }
    };
    const { pose: body, face, hands } = pose;
    const anchors = body && pose.skeleton === MEDIAPIPE ? body : null;
    const depth = (at: number, own: number) => {
      const offset = anchors ? (deep * (anchors[4 * at + 2] - own)) / size : 0;
      return Number.isNaN(offset) ? 0 : offset;
    };
    if (body) place(body, this.#body, 0, Math.min(MOST_POINTS, body.length / 4), 0);
    this.#stand(pose.skeleton, body);
    if (face) place(face, this.#face, 0, face.length / 4, depth(0, face[4 * 1 + 2]));
    if (hands) {
      place(hands, this.#hands, 0, HAND_POINTS, depth(15, hands[2]));
      place(hands, this.#hands, HAND_POINTS, 2 * HAND_POINTS, depth(16, hands[4 * HAND_POINTS + 2]));
    }
    return [
      body && { points: this.#body, count: Math.min(MOST_POINTS, body.length / 4) },
      face && !Number.isNaN(face[0]) ? { points: this.#face, count: face.length / 4 } : null,
      hands && this.#hands,
    ];
  }

  /** Lays a floor under somebody whose feet are there. */
  #stand(skeleton: string, body: Float32Array | null): void {
    const feet = skeleton === MEDIAPIPE ? [27, 28] : [];
    this.#floor.visible = body !== null && (Y_UP.has(skeleton) || (feet.length > 0 && feet.every((j) => body[4 * j + 3] > 0.3)));
    if (!body || !this.#floor.visible) return;
    let [lowest, x, count] = [Infinity, 0, 0];
    for (let i = 0; i < Math.min(4 * MOST_POINTS, body.length); i += 4) {
      if (Number.isNaN(body[i])) continue;
      lowest = Math.min(lowest, this.#body[i + 1]);
      x += this.#body[i];
      count++;
    }
    const { position } = this.#floor;
    // Whoever jumps leaves the floor behind.
    position.y = lowest < position.y || position.y === 0 ? lowest : position.y + 0.01 * (lowest - position.y);
    if (count) position.x = x / count;
  }

  #drawBody(skeleton: string, { points, count }: Placed, hasFace: boolean, hands: Float32Array | null): void {
    const { middle, left, right } = this.#palette;
    if (skeleton !== MEDIAPIPE) {
      for (const bone of bonesOf(skeleton, count)) this.#bone(points, bone, BONE, middle);
      for (let j = 0; j < count; j++) this.#joint(points, j, false, middle);
      return;
    }
    const found = hands ? [!Number.isNaN(hands[0]), !Number.isNaN(hands[4 * HAND_POINTS])] : [false, false];
    // A hand of its own says more than the three fingers of the body.
    const hidden = (j: number) => (j < 11 && hasFace) || (j >= 17 && j <= 22 && found[(j + 1) % 2]);
    const colour = (j: number) => (j === 0 ? middle : j < 11 ? ((j < 7 ? j < 4 : j % 2 === 1) ? left : right) : j % 2 === 1 ? left : right);
    const draw = ([a, b]: Bone, size: number) => {
      if (!hidden(a) && !hidden(b)) this.#bone(points, [a, b], size, colour(a) === colour(b) ? colour(a) : middle);
    };
    for (const bone of POSE) draw(bone, bone[0] >= 15 && bone[0] <= 22 ? BONE * FINE : BONE);
    if (!hasFace) for (const bone of POSE_FACE) draw(bone, BONE * FINE);
    this.#neck(points);
    for (let j = 0; j < count; j++) {
      if (!hidden(j)) this.#joint(points, j, j < 11 || (j >= 17 && j <= 22), colour(j));
    }
  }

  /** From between the shoulders to between the ears: MediaPipe's body has none. */
  #neck(points: Float32Array): void {
    const neck = this.#middles;
    for (let i = 0; i < 4; i++) {
      neck[i] = (points[4 * 11 + i] + points[4 * 12 + i]) / 2;
      neck[4 + i] = (points[4 * 7 + i] + points[4 * 8 + i]) / 2;
    }
    this.#bone(neck, [0, 1], 0.8 * BONE, this.#palette.middle);
  }

  #drawHand(points: Float32Array, side: number): void {
    const colour = side === 0 ? this.#palette.left : this.#palette.right;
    const first = side * HAND_POINTS;
    for (const [a, b] of HAND) this.#bone(points, [first + a, first + b], BONE * FINE, colour);
    for (let j = 0; j < HAND_POINTS; j++) this.#joint(points, first + j, true, colour);
  }

  #drawFace(face: Placed | null): void {
    const shown = face !== null;
    this.#faceLines.visible = this.#facePoints.visible = shown;
    if (!shown) return;
    const array = this.#facePositions.array as Float32Array;
    for (let j = 0; j < face.count; j++) for (let c = 0; c < 3; c++) array[3 * j + c] = face.points[4 * j + c];
    this.#facePoints.geometry.setDrawRange(0, face.count);
    this.#facePositions.needsUpdate = true;
  }

  #bone(points: Float32Array, [from, to]: Bone, size: number, colour: Color): void {
    const { a, b, middle, scale, turn, matrix } = this.#scratch;
    a.fromArray(points, 4 * from);
    b.fromArray(points, 4 * to);
    const length = a.distanceTo(b);
    if (!(length > 1e-5)) return; // not found, or no length
    const seen = Math.min(points[4 * from + 3], points[4 * to + 3]);
    turn.setFromUnitVectors(UP, middle.copy(b).sub(a).divideScalar(length));
    const radius = size * (0.4 + 0.6 * Math.min(1, Math.max(0, seen)));
    matrix.compose(middle.copy(a).add(b).multiplyScalar(0.5), turn, scale.set(radius, length, radius));
    this.#bones.add(matrix, colour);
  }

  #joint(points: Float32Array, j: number, fine: boolean, colour: Color): void {
    const { a, scale, turn, matrix } = this.#scratch;
    a.fromArray(points, 4 * j);
    if (Number.isNaN(a.x)) return;
    const radius = JOINT * (fine ? FINE : 1) * (0.4 + 0.6 * Math.min(1, Math.max(0, points[4 * j + 3])));
    matrix.compose(a, turn.identity(), scale.setScalar(radius));
    (fine ? this.#fine : this.#joints).add(matrix, colour);
  }
}
