/** Where a server of this package listens, as a person writes it. */

export interface ListenAddress {
  host: string;
  /** 0 takes a free one. */
  port: number;
}

/** Only this machine, unless somebody says otherwise: what runs where is nobody else's business. */
const HOST_DEFAULT = "127.0.0.1";

const PORT_MAX = 65_535;

const ADDRESS = /^(?:(?:\[(?<address>[^\]]+)\]|(?<name>[^:[\]/]*)):)?(?<port>\d{1,5})$/u;

/** `8080`, `:8080`, `0.0.0.0:8080` or `[::1]:8080`; undefined if it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const { address, name, port } = ADDRESS.exec(text)?.groups ?? {};
  if (port === undefined || Number(port) > PORT_MAX) return undefined;
  return { host: address || name || HOST_DEFAULT, port: Number(port) };
}
