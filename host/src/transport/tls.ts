/** TLS on a connected socket: its options, checked once for all connections, and what its errors mean. */

import { X509Certificate } from "node:crypto";
import { isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from "node:tls";
import { ConnectionError, UsageError } from "../errors.ts";
import { connectionError } from "./connection-errors.ts";

/** How to trust the broker, and how to be trusted. All files as their bytes, in PEM. */
export interface TlsOptions {
  /** The authorities that may vouch for the broker; without it those that Node knows. */
  readonly ca?: Buffer | undefined;
  /** The client's certificate, with the chain to its authority. Needs `key`. */
  readonly cert?: Buffer | undefined;
  /** The client's private key, not encrypted. Needs `cert`. */
  readonly key?: Buffer | undefined;
  /** Takes any certificate: the connection is secret, but from nobody knows whom. */
  readonly insecure?: boolean | undefined;
  /** The name to ask for (SNI) and to find in the certificate, instead of the URL's host. */
  readonly serverName?: string | undefined;
  /** The application protocol to ask for (ALPN): 1 to 255 bytes. */
  readonly alpn?: string | undefined;
}

/** Starts TLS on a connected socket. Never throws. */
export type Secure = (socket: Socket) => TLSSocket;

/** Makes ready for TLS with `host`. Throws a UsageError if the options cannot be used. */
export function tlsTo(host: string, options: TlsOptions): Secure {
  const { serverName, alpn } = options;
  checkNames(serverName, alpn);
  const shared: ConnectionOptions = {
    host,
    // RFC 6066: an address is no server name. An empty one sends none.
    servername: serverName ?? (isIP(host) === 0 ? host : ""),
    rejectUnauthorized: options.insecure !== true,
    secureContext: secureContext(options),
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  };
  return (socket) => connect({ ...shared, socket });
}

function checkNames(serverName: string | undefined, alpn: string | undefined): void {
  if (serverName !== undefined && (serverName === "" || isIP(serverName) !== 0)) {
    throw new UsageError(
      `The TLS server name ${JSON.stringify(serverName)} is no host name`,
      "Give the name that the broker's certificate is for",
    );
  }
  const alpnLength = Buffer.byteLength(alpn ?? "?");
  if (alpnLength < 1 || alpnLength > 255) {
    throw new UsageError(
      `The application protocol for ALPN has ${alpnLength} bytes`,
      "Give 1 to 255 bytes, as in --tls-alpn mqtt",
    );
  }
}

/** Built once: reading the certificates anew for each connection would cost more than the connection. */
function secureContext({ ca, cert, key }: TlsOptions) {
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError(
      `The client ${cert === undefined ? "key has no certificate" : "certificate has no key"}`,
      "Give both --cert and --key",
    );
  }
  if (ca !== undefined) checkAuthorities(ca);
  try {
    return createSecureContext({ ca, cert, key });
  } catch (cause) {
    throw new UsageError(
      `The client certificate or its key cannot be used: ${messageOf(cause)}`,
      "Give PEM files that belong together; decrypt an encrypted key with `openssl pkey`",
      { cause },
    );
  }
}

/** OpenSSL skips what it cannot read: without this check a wrong file would look like a wrong broker. */
function checkAuthorities(ca: Buffer): void {
  try {
    if (!ca.includes("-----BEGIN")) throw new Error("no PEM");
    new X509Certificate(ca);
  } catch (cause) {
    throw new UsageError(
      `The CA file holds no certificate: ${messageOf(cause)}`,
      "Give --cafile a PEM file that begins with -----BEGIN CERTIFICATE-----",
      { cause },
    );
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

interface Explanation {
  /** Follows the peer's address and a colon. */
  readonly problem: string;
  readonly remedy: string;
}

const unknownAuthority: Explanation = {
  problem: "nobody we trust vouches for the broker's certificate",
  remedy: "Give the broker's CA with --cafile; --insecure takes any certificate",
};
const notTls: Explanation = {
  problem: "what listens there does not speak TLS",
  remedy: "Take the TLS port (often 8883, or 443 for wss), or mqtt:// or ws:// without TLS",
};
const clientRefused: Explanation = {
  problem: "the broker refused the TLS handshake, most often for want of a client certificate",
  remedy: "Give --cert and --key of a client certificate that the broker's CA signed",
};

const EXPLANATIONS: ReadonlyMap<string, Explanation> = new Map([
  ["DEPTH_ZERO_SELF_SIGNED_CERT", unknownAuthority],
  ["SELF_SIGNED_CERT_IN_CHAIN", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", unknownAuthority],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", unknownAuthority],
  [
    "CERT_HAS_EXPIRED",
    {
      problem: "the broker's certificate has expired",
      remedy: "Renew it, or set this machine's clock",
    },
  ],
  [
    "CERT_NOT_YET_VALID",
    {
      problem: "the broker's certificate is not valid yet",
      remedy: "Set this machine's clock, or the broker's when it makes the next one",
    },
  ],
  ["ERR_SSL_WRONG_VERSION_NUMBER", notTls],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", notTls],
  ["ERR_SSL_HTTP_REQUEST", notTls],
  ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", clientRefused],
  ["ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE", clientRefused],
  ["ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN", clientRefused],
  ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", clientRefused],
  ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", clientRefused],
]);

/**
 * Explains an error of a TLS socket by its code. `where` is the peer's address; `isSecured` says that the handshake
 * was over.
 */
export function tlsError(
  error: NodeJS.ErrnoException,
  where: string,
  isSecured: boolean,
): ConnectionError {
  const known = explanation(error, isSecured);
  if (known === undefined) return connectionError(error, where);
  return new ConnectionError("untrusted", `${where}: ${known.problem}`, known.remedy, {
    cause: error,
  });
}

function explanation(
  error: NodeJS.ErrnoException & { readonly reason?: string },
  isSecured: boolean,
): Explanation | undefined {
  const code = error.code ?? "";
  const known = EXPLANATIONS.get(code);
  if (known !== undefined) return known;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return {
      problem: `the broker's certificate is for another name. ${error.reason ?? error.message}`,
      remedy:
        "Connect with a name that stands in the certificate; --insecure takes any certificate",
    };
  }
  if (/^(ERR_SSL_|ERR_TLS_|CERT_|INVALID_|UNABLE_)/.test(code)) {
    return {
      problem: `TLS failed: ${error.message}`,
      remedy: "Check the broker's certificate and TLS versions; --insecure takes any certificate",
    };
  }
  // A server that hangs up in the middle of the handshake did not understand it.
  return code === "ECONNRESET" && !isSecured ? notTls : undefined;
}
