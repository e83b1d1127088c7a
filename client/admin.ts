import { MessageAdmin } from './admin/messages.ts'

export type { AdminPullResult, PullOptions, QueryOptions } from './admin/messages.ts'
export type { RollbackStats } from './admin/offsets.ts'
export type { AdminOptions, ReadOptions } from './admin/routes.ts'

// A file for each family of methods; each builds on those before it: routes, NameServers, brokers, topics, groups, offsets,
// messages.

/**
 * Looks after topics, groups, offsets and brokers: all that mqadmin does, for programs. It is ready once made; addresses
 * are `host:port`. Every method throws ClientError REFUSED when a broker or NameServer refuses, NAMESRV_UNREACHABLE when no
 * NameServer answers, and NetError when a broker does not. MQAdminExt
 */
export class Admin extends MessageAdmin {}
