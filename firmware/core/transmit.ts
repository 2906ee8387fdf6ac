/** What may go to the transport. */

import { ConnectionState, Status } from "./abi";
import { Client, isClient, isConnecting } from "./client";
import { advanceSent } from "./outbox";

export function transmitAt(client: Client): usize {
  if (!isClient(client)) return 0;
  const end = isConnecting(client)
    ? client.identityAt + client.identityLength
    : client.outboxWindow;
  return end - lengthToTransmit(client);
}

export function transmitLength(client: Client): u32 {
  return isClient(client) ? lengthToTransmit(client) : 0;
}

export function transmitted(client: Client, length: u32, nowMs: u32): Status {
  if (!isClient(client)) return Status.NotAClient;
  if (length > lengthToTransmit(client)) return Status.InvalidArgument;
  if (length === 0) return Status.Ok;
  client.sentAtMs = nowMs;
  if (isConnecting(client)) client.connectLength -= length;
  else advanceSent(client, length);
  return Status.Ok;
}

function lengthToTransmit(client: Client): u32 {
  if (isConnecting(client)) return client.connectLength;
  const state: u32 = client.state;
  const mayGo = state === ConnectionState.Connected || state === ConnectionState.Disconnecting;
  if (!mayGo || client.isStoreDue) return 0;
  return <u32>(client.outboxWindow - client.outboxSent) - client.outboxPartLength;
}
