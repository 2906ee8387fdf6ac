/** Whether connections can come from an address, asked of the machine itself: lists of interfaces do not have all of them. */

import { once } from "node:events";
import { createServer } from "node:net";
import { UsageError } from "../errors.ts";

/** Throws a UsageError for the first of `addresses` (IP) that is not this machine's. */
export async function checkLocalAddresses(addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    if (await isLocal(address)) continue;
    throw new UsageError(
      `${address} is no address of this machine`,
      "Give one that it has (Linux: ip -brief address), or add it to an interface: sudo ip address add",
    );
  }
}

async function isLocal(address: string): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(0, address);
    await once(server, "listening");
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EADDRNOTAVAIL";
  } finally {
    server.close();
  }
}
