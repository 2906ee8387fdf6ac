/** A serial port as the system lists it. */

import type { SerialPortInfo } from "../../host/src/board/serial-ports.ts";

/** One that is not on USB and may be opened, unless `facts` say otherwise. */
export function portAt(path: string, facts: Partial<SerialPortInfo> = {}): SerialPortInfo {
  return {
    path,
    vendorId: undefined,
    productId: undefined,
    manufacturer: undefined,
    product: undefined,
    serialNumber: undefined,
    stablePath: undefined,
    isPermitted: true,
    ...facts,
  };
}
