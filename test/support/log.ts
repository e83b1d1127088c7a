import type { Log } from '../../net/index.ts'

export interface LogLine {
  level: keyof Log
  details: Record<string, unknown>
  text: string
}

/** A log that a test can look at. */
export function keepLog(): Log & { lines: LogLine[]; at(level: keyof Log): LogLine[] } {
  const lines: LogLine[] = []
  const keep = (level: keyof Log) => (details: object, text: string) => {
    lines.push({ level, details: details as Record<string, unknown>, text })
  }
  return {
    lines,
    at: level => lines.filter(line => line.level === level),
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error')
  }
}
