import { networkInterfaces } from 'node:os'

/** The address to tell others when listening on `listenHost`: itself, or of "all addresses" this host's first IPv4 one. RemotingUtil#getLocalAddress */
export function ownAddress(listenHost: string): string {
  if (listenHost !== '0.0.0.0' && listenHost !== '::' && listenHost !== '')
    return listenHost === 'localhost' ? '127.0.0.1' : listenHost
  for (const addresses of Object.values(networkInterfaces()))
    for (const { address, family, internal } of addresses ?? []) if (family === 'IPv4' && !internal) return address
  return '127.0.0.1'
}
