#!/usr/bin/env node
// RocketMQ's mqadmin: its commands, options and columns.
import { runMqadmin } from './mqadmin/run.ts'

// A reader that has seen enough, as `| head` does, is no failure.
process.stdout.on('error', () => process.exit(0))
process.exitCode = await runMqadmin(process.argv.slice(2))
