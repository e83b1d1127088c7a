import { runMqadmin } from '../../cli/mqadmin/run.ts'

/** Runs a command of mqadmin within this process; gives what it printed. */
export async function mqadmin(args: readonly string[], env: Record<string, string> = {}) {
  const [out, err]: string[][] = [[], []]
  const exitCode = await runMqadmin(args, {
    stdout: { write: text => out!.push(text) },
    stderr: { write: text => err!.push(text) },
    env
  })
  return { exitCode, out: out!.join(''), err: err!.join('') }
}
