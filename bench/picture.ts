import { type Report, scenarioText } from './report.ts'
import type { Result } from './scenarios.ts'

const COLOURS: Readonly<Record<string, string>> = { Skylark: '#2f6fb0', ceiling: '#b9c4cf' }
const OTHER_COLOUR = '#c8763a'
const WIDTH = 900
const LABEL_WIDTH = 250
const BAR_WIDTH = 400
const BAR_HEIGHT = 16
const BAR_STEP = 19
const GROUP_GAP = 12
const TOP = 62
const BOTTOM = 34

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, char => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char]!)
const format = new Intl.NumberFormat('en-US')

/** The report as a picture: a bar for each result, as long as what it got done, with its p99 beside it. SVG. */
export function pictureOf(report: Report): string {
  const groups: Result[][] = []
  for (const result of report.results) {
    const label = scenarioText(result.scenario)
    const group = groups.find(([first]) => scenarioText(first!.scenario) === label)
    if (group === undefined) groups.push([result])
    else group.push(result)
  }
  // A broker that is far below the ceiling in one way must not make all other ways invisible: each kind of work has its scale.
  const longest = (work: string): number =>
    Math.max(
      1,
      ...report.results.filter(({ scenario }) => scenario.work === work).map(result => result.messagesPerSecond)
    )
  const parts: string[] = []
  let y = TOP
  for (const group of groups) {
    const label = escaped(scenarioText(group[0]!.scenario))
    parts.push(`<text x="${LABEL_WIDTH - 10}" y="${y + 12}" text-anchor="end">${label}</text>`)
    for (const { target, scenario, messagesPerSecond, latencyUs } of group) {
      const width = Math.max(1, Math.round((messagesPerSecond / longest(scenario.work)) * BAR_WIDTH))
      const value = `${format.format(Math.round(messagesPerSecond))}/s, p99 ${(latencyUs.p99 / 1000).toFixed(2)} ms`
      const colour = COLOURS[target] ?? OTHER_COLOUR
      parts.push(
        `<rect x="${LABEL_WIDTH}" y="${y}" width="${width}" height="${BAR_HEIGHT}" rx="2" fill="${colour}"/>`,
        `<text x="${LABEL_WIDTH + width + 6}" y="${y + 12}">${escaped(`${target}: ${value}`)}</text>`
      )
      y += BAR_STEP
    }
    y += GROUP_GAP
  }
  const { workload } = report
  const title = `Messages a second: ${workload.bodyBytes} byte bodies, ${workload.queueCount} queues, one connection`
  const foot = `Skylark ${report.skylark}, Node.js ${report.node}, ${report.machine}`
  const height = y + BOTTOM
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"
  font-family="system-ui, sans-serif" font-size="12" fill="#20303f" role="img" aria-label="${escaped(title)}">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="20" y="32" font-size="16" font-weight="600">${escaped(title)}</text>
${parts.join('\n')}
<text x="20" y="${height - 14}" fill="#66757f">${escaped(foot)}</text>
</svg>
`
}
