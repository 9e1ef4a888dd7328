/** Which landmarks are joined. MediaPipe's POSE_CONNECTIONS, HAND_CONNECTIONS and the contours of its face mesh. */

export type Bone = readonly [number, number];

const pairs = (text: string): Bone[] => text.split(' ').map((pair) => pair.split('-').map(Number) as unknown as Bone);
/** Lines through points, one after another. */
const lines = (...texts: string[]): Bone[] =>
  texts.flatMap((text) => {
    const points = text.split(' ').map(Number);
    return points.slice(1).map((point, i): Bone => [points[i], point]);
  });

export const POSE: readonly Bone[] = pairs(
  '11-12 11-13 13-15 15-17 15-19 15-21 17-19 12-14 14-16 16-18 16-20 16-22 18-20 11-23 12-24 23-24 23-25 24-26 25-27 26-28 ' +
    '27-29 28-30 29-31 30-32 27-31 28-32',
);
/** Of the pose, where there is no face. */
export const POSE_FACE: readonly Bone[] = pairs('0-1 1-2 2-3 3-7 0-4 4-5 5-6 6-8 9-10');
export const HAND: readonly Bone[] = pairs(
  '0-1 1-2 2-3 3-4 0-5 5-6 6-7 7-8 5-9 9-10 10-11 11-12 9-13 13-14 14-15 15-16 13-17 0-17 17-18 18-19 19-20',
);
const CMU_PARENTS = [-1, 0, 0, 0, 1, 4, 5, 6, 2, 8, 9, 10, 3, 12, 13, 13, 13, 14, 17, 15, 19, 20, 21, 21, 22, 16, 25, 26, 27, 27, 28];
export const CMU: readonly Bone[] = CMU_PARENTS.flatMap((parent, joint): Bone[] => (parent < 0 ? [] : [[parent, joint]]));

export const FACE: readonly Bone[] = lines(
  '10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 136 172 58 132 93 234 127 162 21 54 103 67 109 10',
  '61 146 91 181 84 17 314 405 321 375 291', '61 185 40 39 37 0 267 269 270 409 291',
  '78 95 88 178 87 14 317 402 318 324 308', '78 191 80 81 82 13 312 311 310 415 308',
  '263 249 390 373 374 380 381 382 362', '263 466 388 387 386 385 384 398 362',
  '33 7 163 144 145 153 154 155 133', '33 246 161 160 159 158 157 173 133',
  '276 283 282 295 285', '300 293 334 296 336', '46 53 52 65 55', '70 63 105 66 107',
  '168 6 197 195 5 4 1 19 94 2', '98 97 2 326 327',
);

/** Skeletons in metres with y pointing up; images have y pointing down. */
export const Y_UP: ReadonlySet<string> = new Set(['mocap31']);

/** Bones of a skeleton that is not MediaPipe's; a chain where nobody knows. */
export function bonesOf(skeleton: string, landmarks: number): readonly Bone[] {
  if (skeleton === 'mocap31') return CMU;
  if (skeleton === 'hand21') return HAND;
  return Array.from({ length: Math.max(0, landmarks - 1) }, (_, i): Bone => [i, i + 1]);
}
