/** Lists the serial ports of this machine, without opening any: to open one may reset the board behind it. */

import { access, constants, readdir, readFile, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { loadSerialPort } from "./serial-port-library.ts";

export interface SerialPortInfo {
  /** What `--device` takes, as in "/dev/ttyUSB0" or "COM3". */
  readonly path: string;
  /** Four hexadecimal digits each; undefined for what is no USB device. */
  readonly vendorId: string | undefined;
  readonly productId: string | undefined;
  readonly manufacturer: string | undefined;
  readonly product: string | undefined;
  readonly serialNumber: string | undefined;
  /** A name that stays the same in whatever socket the cable is: a path that `--device` takes as well. */
  readonly stablePath: string | undefined;
  /** Whether this user may open it; undefined where that is not known before. */
  readonly isPermitted: boolean | undefined;
}

export interface ListOptions {
  /** As in "linux". */
  readonly platform: string;
  /** Where the system's `dev` and `sys` are: "/" everywhere but in tests. */
  readonly root?: string;
}

/** USB devices first, each kind by path. */
export async function listSerialPorts(options: ListOptions): Promise<SerialPortInfo[]> {
  const ports =
    options.platform === "linux" ? await listOnLinux(options.root ?? "/") : await listElsewhere();
  return ports.sort((a, b) => rank(a) - rank(b) || compare(a.path, b.path));
}

function rank({ vendorId }: SerialPortInfo): number {
  return vendorId === undefined ? 1 : 0;
}

/** "ttyUSB2" before "ttyUSB10". */
function compare(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** `SerialPort.list` runs `udevadm`, which containers and small systems do not have; the kernel tells the same. */
async function listOnLinux(root: string): Promise<SerialPortInfo[]> {
  const classPath = join(root, "sys/class/tty");
  const stablePaths = await stablePathsOf(root);
  const ports: SerialPortInfo[] = [];
  for (const name of await namesIn(classPath)) {
    const devicePath = await resolved(join(classPath, name, "device"));
    const path = join(root, "dev", name);
    // Virtual consoles have no device; places for a UART that this machine lacks have the type 0.
    if (devicePath === undefined || (await textOf(join(classPath, name, "type"))) === "0") continue;
    if (!(await isAccessible(path, constants.F_OK))) continue;
    ports.push({
      path,
      ...(await usbFacts(devicePath, root)),
      stablePath: stablePaths.get(path),
      isPermitted: await isAccessible(path, constants.R_OK | constants.W_OK),
    });
  }
  return ports;
}

/** Names that udev makes of vendor, product and serial number, by the path that they point to. */
async function stablePathsOf(root: string): Promise<Map<string, string>> {
  const folder = join(root, "dev/serial/by-id");
  const found = new Map<string, string>();
  for (const name of await namesIn(folder)) {
    const link = join(folder, name);
    const target = await resolved(link);
    if (target !== undefined) found.set(target, link);
  }
  return found;
}

type UsbFacts = Pick<
  SerialPortInfo,
  "vendorId" | "productId" | "manufacturer" | "product" | "serialNumber"
>;

/** A port is an interface of a USB device, or lies below one. */
const USB_DEPTH_MAX = 4;

async function usbFacts(devicePath: string, root: string): Promise<UsbFacts> {
  let folder = devicePath;
  for (let depth = 0; depth < USB_DEPTH_MAX && folder.startsWith(join(root, "sys")); depth++) {
    const vendorId = await textOf(join(folder, "idVendor"));
    if (vendorId !== undefined) {
      return {
        vendorId,
        productId: await textOf(join(folder, "idProduct")),
        manufacturer: await textOf(join(folder, "manufacturer")),
        product: await textOf(join(folder, "product")),
        serialNumber: await textOf(join(folder, "serial")),
      };
    }
    folder = dirname(folder);
  }
  return {
    vendorId: undefined,
    productId: undefined,
    manufacturer: undefined,
    product: undefined,
    serialNumber: undefined,
  };
}

async function listElsewhere(): Promise<SerialPortInfo[]> {
  const { SerialPort } = await loadSerialPort();
  const ports = await SerialPort.list();
  return ports.map(({ path, vendorId, productId, manufacturer, serialNumber }) => ({
    path,
    vendorId: vendorId?.toLowerCase(),
    productId: productId?.toLowerCase(),
    manufacturer,
    product: undefined,
    serialNumber,
    stablePath: undefined,
    isPermitted: undefined,
  }));
}

/** None if the folder cannot be read. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}

async function resolved(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch {
    return undefined;
  }
}

/** What one of the kernel's files says; undefined if it is not there. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    return undefined;
  }
}

async function isAccessible(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode);
    return true;
  } catch {
    return false;
  }
}
