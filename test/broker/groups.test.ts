import t from 'tap'
import { type ExtFields, parseBody, RequestCode, ResponseCode } from '../../net/index.ts'
import { type OpenBroker, openBroker, temporaryDirectory } from '../support/broker.ts'
import { pull, sendAll } from '../support/messages.ts'
import { mqadminRecording } from '../support/recordings.ts'

const update = ({ ask }: OpenBroker, config: object | string | null) =>
  ask(
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    null,
    config !== null && typeof config === 'object' ? JSON.stringify(config) : config
  )
const bodyOf = async <T>({ ask }: OpenBroker, code: number, fields: ExtFields | null = null): Promise<T> => {
  const answer = await ask(code, fields)
  if (answer.code !== ResponseCode.SUCCESS) throw new Error(`${answer.code} ${answer.remark}`)
  return parseBody(answer.body) as T
}
const get = (open: OpenBroker, group: string) =>
  bodyOf<Record<string, unknown>>(open, RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group })
const DEFAULTS = {
  attributes: {},
  brokerId: 0,
  consumeBroadcastEnable: true,
  consumeEnable: true,
  consumeFromMinEnable: true,
  consumeMessageOrderly: false,
  consumeTimeoutMinute: 15,
  groupRetryPolicy: { type: 'CUSTOMIZED' },
  groupSysFlag: 0,
  notifyConsumerIdsChangedEnable: true,
  retryMaxTimes: 16,
  retryQueueNums: 1,
  whichBrokerWhenConsumeSlowly: 1
}

t.test('a group is set as mqadmin sets it, and told as it was set', async t => {
  const open = await openBroker(t)
  for (const name of ['updateSubGroup', 'updateSubGroup-cluster']) {
    const sent = [...mqadminRecording(name)].find(
      ({ header, dir }) => header.code === RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP && dir === 'c2s'
    )!
    const config = JSON.parse(sent.body.toString()) as { groupName: string }
    t.match(await update(open, sent.body.toString()), { code: ResponseCode.SUCCESS })
    t.same(await get(open, config.groupName), config)
  }
})

t.test('what a request leaves out gets its default, and what makes no sense is passed over', async t => {
  const open = await openBroker(t)
  await update(open, { groupName: 'CG', retryMaxTimes: 2, consumeEnable: 'perhaps', colour: 'red' })
  t.same(await get(open, 'CG'), { ...DEFAULTS, groupName: 'CG', retryMaxTimes: 2 })
})

t.test('groups outlive the broker, and those that RocketMQ always has are there', async t => {
  const storePathRootDir = temporaryDirectory(t)
  const before = await openBroker(t, { storePathRootDir })
  await update(before, { groupName: 'CG', retryMaxTimes: 2 })
  await before.broker.close()
  const after = await openBroker(t, { storePathRootDir })
  t.match(await get(after, 'CG'), { retryMaxTimes: 2 })
  t.match(after.broker.groups.find('TOOLS_CONSUMER'), { groupName: 'TOOLS_CONSUMER' })
})

t.test('a list of groups is set as a whole, or not at all', async t => {
  const open = await openBroker(t)
  const list = (...groupConfigList: object[]) =>
    open.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, null, JSON.stringify({ groupConfigList }))
  t.match(await list({ groupName: 'A' }, { groupName: 'no group' }), { code: 29, remark: /no group/ })
  t.equal(open.broker.groups.find('A'), undefined)
  t.match(await list({ groupName: 'A', retryMaxTimes: 1 }, { groupName: 'B' }), { code: 0 })
  t.match(open.broker.groups.find('A'), { retryMaxTimes: 1 })
  t.match(open.broker.groups.find('B'), { retryMaxTimes: 16 })
})

t.test('values that a group cannot have are refused by name', async t => {
  const open = await openBroker(t)
  for (const [config, code, remark] of [
    [
      { groupName: 'no group' },
      29,
      /The specified group: no group, contains illegal characters, allowing only \^\[%\|a-zA-Z0-9_-\]\+\$/
    ],
    [{ groupName: 'x'.repeat(121) }, 29, /longer than group max length: 120/],
    [{}, 29, /The specified group is blank/],
    [null, 29, /body/],
    ['no json', 29, /JSON/],
    [{ groupName: 'CG', attributes: { '+a': 'b' } }, 1, /unsupported key: a/],
    [{ groupName: 'CG', retryQueueNums: 2_000_000_000 }, 29, /retryQueueNums is 2000000000/],
    [{ groupName: 'CG', retryMaxTimes: 1.5 }, 29, /retryMaxTimes is 1.5/]
  ] as const)
    t.match(await update(open, config), { code, remark }, `${remark}`)
  t.equal(open.broker.groups.find('CG'), undefined)
})

t.test('a deleted group leaves its offsets, unless they are to go too', async t => {
  const open = await openBroker(t)
  const { groups, offsets, stats } = open.broker
  const remove = (fields: ExtFields) => open.ask(RequestCode.DELETE_SUBSCRIPTIONGROUP, { groupName: 'CG', ...fields })
  for (const [fields, left] of [
    [{}, 7],
    [{ cleanOffset: 'false' }, 7],
    [{ cleanOffset: 'true' }, -1],
    // As clients up to 4.9 say it.
    [{ removeOffset: 'true' }, -1]
  ] as const) {
    await update(open, { groupName: 'CG' })
    offsets.commit('CG', 'orders', 0, 7)
    stats.got('CG', 'orders', 0, 1, 1)
    t.match(await remove(fields), { code: ResponseCode.SUCCESS })
    t.equal(groups.find('CG'), undefined)
    t.equal(offsets.get('CG', 'orders', 0), left)
    t.equal(stats.view('GROUP_GET_NUMS', 'orders@CG'), null)
  }
  t.match(await remove({ groupName: 'nobody' }), { code: ResponseCode.SUCCESS })
})

t.test('a group that is asked for is created, if groups may be', async t => {
  const open = await openBroker(t)
  t.same(await get(open, 'CG'), { ...DEFAULTS, groupName: 'CG' })
  const refused = { code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark: 'No group in this broker' }
  t.match(await open.ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'no group' }), refused)
  const strict = await openBroker(t, { autoCreateSubscriptionGroup: false })
  t.match(await strict.ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'CG' }), refused)
})

interface AllGroups {
  dataVersion: object
  forbiddenTable: object
  subscriptionGroupTable: Record<string, object>
}

t.test('all groups are told at once, or page by page', async t => {
  const open = await openBroker(t)
  await update(open, { groupName: 'CG' })
  const whole = await bodyOf<AllGroups>(open, RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
  t.same(Object.keys(whole), ['dataVersion', 'forbiddenTable', 'subscriptionGroupTable'])
  const names = Object.keys(whole.subscriptionGroupTable)
  t.equal(names.at(-1), 'CG')
  const seen: string[] = []
  while (seen.length < names.length) {
    const answer = await open.ask(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, {
      groupSeq: String(seen.length),
      maxGroupNum: '4',
      dataVersion: JSON.stringify(whole.dataVersion)
    })
    t.equal(answer.extFields!.totalGroupNum, String(names.length))
    seen.push(...Object.keys((parseBody(answer.body) as AllGroups).subscriptionGroupTable))
  }
  t.same(seen, names)
})

t.test('a group can be forbidden to read a topic, and allowed again', async t => {
  const open = await openBroker(t)
  await sendAll(open, { topic: 'orders', body: 'x' })
  const readable = (fields: ExtFields = {}) =>
    bodyOf(open, RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN, { group: 'CG', topic: 'orders', ...fields })
  t.same(await readable(), { group: 'CG', readable: true, topic: 'orders' })
  t.same(await readable({ readable: 'false' }), { group: 'CG', readable: false, topic: 'orders' })
  t.same(await readable(), { group: 'CG', readable: false, topic: 'orders' })
  t.ok(open.broker.groups.isReadForbidden('CG', 'orders'))
  await readable({ readable: 'true' })
  t.equal((await pull(open, { topic: 'orders' })).code, ResponseCode.SUCCESS)
})
