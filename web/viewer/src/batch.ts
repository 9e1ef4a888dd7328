/**
 * Many copies of one shape, each in its place and colour, filled anew for each picture. One call draws all: their places are in
 * a texture. Instances would do the same; SwiftShader took 61 ms of CPU for a picture of eight people with them, and takes 53 so.
 */
import {
  BufferAttribute, BufferGeometry, type Color, DataTexture, FloatType, type Matrix4, Mesh, MeshLambertMaterial, NearestFilter, RGBAFormat,
} from 'three';

/** Texels of a copy: three rows of its matrix, and its colour. */
const TEXELS = 4;
const FLOATS = 4 * TEXELS;

/** A shape, so many times over: each vertex knows which copy it belongs to. */
export class Copies {
  readonly position: BufferAttribute;
  readonly normal: BufferAttribute;
  readonly copy: BufferAttribute;
  readonly index: BufferAttribute;
  /** Of one copy. */
  readonly indices: number;

  constructor(shape: BufferGeometry, readonly capacity: number) {
    const index = shape.index;
    if (!index) throw new Error('a shape without an index');
    const vertices = shape.attributes.position.count;
    this.indices = index.count;
    const repeated = (from: ArrayLike<number>) => {
      const all = new Float32Array(from.length * capacity);
      for (let i = 0; i < capacity; i++) all.set(from, i * from.length);
      return all;
    };
    this.position = new BufferAttribute(repeated(shape.attributes.position.array), 3);
    this.normal = new BufferAttribute(repeated(shape.attributes.normal.array), 3);
    this.copy = new BufferAttribute(Float32Array.from({ length: vertices * capacity }, (_, i) => Math.floor(i / vertices)), 1);
    const numbers = Uint32Array.from({ length: index.count * capacity }, (_, i) => index.array[i % index.count] + vertices * Math.floor(i / index.count));
    this.index = new BufferAttribute(vertices * capacity < 65_536 ? Uint16Array.from(numbers) : numbers, 1);
  }
}

const DECLARED = `
attribute float copy;
uniform highp sampler2D places;
vec4 placed(int row) { return texelFetch(places, ivec2(${TEXELS} * int(copy) + row, 0), 0); }
`;
// Shapes are stretched along what their normals have nothing of, so the matrix is good for normals too.
const NORMAL = 'vec3 objectNormal = normalize(vec3(dot(placed(0).xyz, normal), dot(placed(1).xyz, normal), dot(placed(2).xyz, normal)));';
const BEGIN = 'vec4 at = vec4(position, 1.0); vec3 transformed = vec3(dot(placed(0), at), dot(placed(1), at), dot(placed(2), at));';
const COLOUR = 'vColor.rgb = placed(3).rgb;';

export class Batch {
  readonly mesh: Mesh<BufferGeometry, MeshLambertMaterial>;
  readonly #copies: Copies;
  readonly #places: Float32Array;
  readonly #texture: DataTexture;
  #used = 0;

  constructor(copies: Copies) {
    this.#copies = copies;
    this.#places = new Float32Array(FLOATS * copies.capacity);
    this.#texture = new DataTexture(this.#places as Float32Array<ArrayBuffer>, TEXELS * copies.capacity, 1, RGBAFormat, FloatType);
    this.#texture.minFilter = this.#texture.magFilter = NearestFilter;
    const geometry = new BufferGeometry().setIndex(copies.index);
    for (const name of ['position', 'normal', 'copy'] as const) geometry.setAttribute(name, copies[name]);
    const material = new MeshLambertMaterial({ vertexColors: true });
    material.onBeforeCompile = (shader) => {
      shader.uniforms.places = { value: this.#texture };
      shader.vertexShader = DECLARED + shader.vertexShader
        .replace('#include <color_vertex>', COLOUR)
        .replace('#include <beginnormal_vertex>', NORMAL)
        .replace('#include <begin_vertex>', BEGIN);
    };
    this.mesh = new Mesh(geometry, material);
    this.mesh.frustumCulled = false;
  }

  begin(): void {
    this.#used = 0;
  }

  /** Adds a copy, if there is room. */
  add({ elements: m }: Matrix4, { r, g, b }: Color): void {
    if (this.#used >= this.#copies.capacity) return;
    const places = this.#places;
    let at = FLOATS * this.#used++;
    for (let row = 0; row < 3; row++) {
      for (let column = 0; column < 4; column++) places[at++] = m[row + 4 * column];
    }
    places[at] = r;
    places[at + 1] = g;
    places[at + 2] = b;
  }

  end(): void {
    this.mesh.geometry.setDrawRange(0, this.#used * this.#copies.indices);
    this.mesh.visible = this.#used > 0;
    this.#texture.clearUpdateRanges();
    this.#texture.addUpdateRange(0, this.#used * FLOATS);
    this.#texture.needsUpdate = true;
  }

  dispose(): void {
    this.#texture.dispose();
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }
}
