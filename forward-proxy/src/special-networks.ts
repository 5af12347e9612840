/** A network as its first address and the number of bits that all of its addresses share. */
export type Network = readonly [first: string, bits: number];

/**
 * IPv4 that is not on the public Internet (IANA's special-purpose registry), and what clouds answer at
 * besides. Most of their metadata services lie in these networks anyway: 169.254.169.254 with most,
 * 100.100.100.200 with Alibaba, 192.0.0.192 with Oracle.
 */
export const NOT_PUBLIC_IPV4: readonly Network[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  // Azure's wire server, at an address that looks public.
  ["168.63.129.16", 32],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

/**
 * Of IPv6 only global unicast is public. Outside of it lie also the metadata services of AWS
 * (fd00:ec2::254) and Google (fd20:ce::254), and IPv4 that is mapped or translated.
 */
export const PUBLIC_IPV6: Network = ["2000::", 3];

/** Global unicast that stands for an IPv4 address, or is for protocols or documents. */
export const NOT_PUBLIC_IPV6: readonly Network[] = [
  // Teredo, benchmarking, ORCHID and the rest of the protocol assignments.
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

/** Whether an address belongs to the public Internet. A name does not. */
export function isPublicAddress(address: string): boolean {
  return address.includes(":")
    ? isWithin(address, [PUBLIC_IPV6]) && !isWithin(address, NOT_PUBLIC_IPV6)
    : bitsOf(address) !== null && !isWithin(address, NOT_PUBLIC_IPV4);
}

/** Whether an address lies in one of these networks. A name, or another kind of address, does not. */
export function isWithin(address: string, networks: readonly Network[]): boolean {
  const bits = bitsOf(address);
  return (
    bits !== null &&
    networks.some(([first, shared]) => {
      const start = bitsOf(first);
      return start?.length === bits.length && start.slice(0, shared) === bits.slice(0, shared);
    })
  );
}

/** An address as its 32 or 128 binary digits; null: it is none. */
function bitsOf(address: string): string | null {
  if (!address.includes(":")) {
    const parts = address.split(".");
    const isIpv4 = parts.length === 4 && parts.every((part) => /^\d+$/.test(part) && +part < 256);
    return isIpv4 ? digits(parts, 10, 8) : null;
  }
  // The parser brings each form of IPv6 into the shortest one, also those that end in IPv4.
  const host = URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1);
  if (host === undefined) return null;
  const [head = "", tail] = host.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return digits([...before, ...zeros, ...after], 16, 16);
}

function digits(parts: readonly string[], radix: number, bits: number): string {
  return parts.map((part) => Number.parseInt(part, radix).toString(2).padStart(bits, "0")).join("");
}
