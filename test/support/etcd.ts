import type { Test } from 'tap'
import { type EtcdProcess, etcdIn } from '../../bench/etcd.ts'
import { temporaryDirectory } from './broker.ts'

export { type EtcdProcess, findEtcd } from '../../bench/etcd.ts'

/** An etcd of one node; the test's end kills it. */
export async function openEtcd(t: Test, path: string): Promise<EtcdProcess> {
  const etcd = await etcdIn(temporaryDirectory(t), path)
  t.teardown(() => etcd.kill())
  await etcd.start()
  return etcd
}
