/** The public API of boards, `wasmqtt/board`: find one, bring modules onto it, watch it, and bridge it to a broker. */

export { type Board, type BoardOptions, openBoard, type UploadOptions } from "./board/board.ts";
export type { BoardConfig, ConfigChanges } from "./board/board-config.ts";
export { BoardError, type BoardFailure } from "./board/board-error.ts";
export type { BoardInfo } from "./board/board-info.ts";
export { type Emulator, type EmulatorOptions, startEmulator } from "./board/emulator.ts";
export type { ImageSlot, SlotInfo } from "./board/image-state.ts";
export {
  type ModuleFile,
  type ModuleImage,
  type ModuleVersion,
  readModuleFile,
  wrapModule,
} from "./board/module-image.ts";
export type { LineHandlers, OpenLine, SerialLine } from "./board/serial-line.ts";
export { serialLineAt } from "./board/serial-port.ts";
export { listSerialPorts, type SerialPortInfo } from "./board/serial-ports.ts";
export { createKeyFile, readPrivateKey } from "./board/signing-keys.ts";
export { Bridge, type BridgeEvent, type BridgeOptions } from "./bridge/bridge.ts";
