import type { Context, Run } from './command.ts'

/** UpdateKvConfigCommand */
async function updateKvConfig({ given, admin, print }: Context): Promise<void> {
  await admin.putKv(given.text('s'), given.text('k'), given.text('v'))
  print('create or update kv config to namespace success.%n')
}

/** DeleteKvConfigCommand */
async function deleteKvConfig({ given, admin, print }: Context): Promise<void> {
  await admin.deleteKv(given.text('s'), given.text('k'))
  print('delete kv config from namespace success.%n')
}

/** WipeWritePermSubCommand, AddWritePermSubCommand */
async function changePerm({ given, admin, print, warn }: Context, what: 'wipe' | 'add'): Promise<void> {
  const broker = given.text('b')
  for (const address of admin.namesrvAddresses) {
    try {
      const count = await (what === 'wipe' ? admin.wipeWritePerm(address, broker) : admin.addWritePerm(address, broker))
      print('%s write perm of broker[%s] in name server[%s] OK, %d%n', what, broker, address, count)
    } catch (error) {
      print('%s write perm of broker[%s] in name server[%s] Failed%n', what, broker, address)
      warn(error)
    }
  }
}

/** GetNamesrvConfigCommand */
async function getNamesrvConfig({ admin, print }: Context): Promise<void> {
  for (const address of admin.namesrvAddresses) {
    const settings = await admin.nameServerConfig(address)
    print('============%s============%n', address)
    for (const [key, value] of settings) print('%-50s=  %s%n', key, value)
  }
}

/** UpdateNamesrvConfigCommand */
async function updateNamesrvConfig({ given, admin, print }: Context): Promise<void> {
  const [key, value] = [given.text('k'), given.text('v')]
  for (const address of admin.namesrvAddresses) await admin.updateNameServerConfig(address, { [key]: value })
  const named = given.has('n') ? `[${admin.namesrvAddresses.join(', ')}]` : ''
  print('update name server config success!%s%n%s : %s%n', named, key, value)
}

export const commands: Record<string, Run> = {
  updateKvConfig,
  deleteKvConfig,
  wipeWritePerm: context => changePerm(context, 'wipe'),
  addWritePerm: context => changePerm(context, 'add'),
  getNamesrvConfig,
  updateNamesrvConfig
}
