/** Join a Posewire room from a web page or Node. `connect` is where to begin; docs/wire.md says what goes over the wire. */
export { connect, Session, type SessionEvents, type SessionOptions, type StreamReport } from './session.js';
export { PosewireError, ProtocolError, MissingReference, type RefusalWord } from './errors.js';
export type { Pose, Slot } from './pose.js';
export type { AudioChunk } from './body-v2.js';
export type { Frame, MemberEvent } from './receiver.js';
export type { Member, StreamInfo, Change } from './room-state.js';
export type { LinkState } from './link.js';
export { Playout, between, type PlayoutMode } from './playout.js';
export { AudioPublisher, PosePublisher, type AudioOptions, type PoseOptions } from './publishers.js';
export { Microphone, openMicrophone } from './microphone.js';
export { canEncodeOpus } from './opus-coder.js';
export { readRoomKey, canSeal } from './seal.js';
export { login, type Credentials, type TokenSource } from './login.js';
export { percentiles, type StreamFigures } from './stream-stats.js';
export { AudioPlayer, levelOf } from './audio-player.js';
