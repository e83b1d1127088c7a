// Run a NameServer.

// What can be set, and what can go wrong.
export { namesrvSettings, readNameServerConfig } from './config.ts'
export { NamesrvError, type NamesrvErrorCode, NamesrvErrors } from './errors.ts'
export { NameServer } from './name-server.ts'
export { type NameServerOptions, nameServerDefaults } from './options.ts'
