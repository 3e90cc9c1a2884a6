import { parentPort, workerData } from 'node:worker_threads';

import { searchRecord } from '../recording/search.ts';
import { listSessions, showSession } from '../recording/sessions.ts';
import type { RecordAnswers, RecordQuestion } from './record-query.ts';

/** Answers one question and ends. */
parentPort?.postMessage(answer(workerData as RecordQuestion));

function answer(question: RecordQuestion): RecordAnswers[keyof RecordAnswers] {
  switch (question.kind) {
    case 'sessions':
      return listSessions(question.path).slice(-question.limit).reverse();
    case 'session':
      return showSession(question.path, question.sid);
    case 'search': {
      const matches = [];
      for (const match of searchRecord(question.path, question.query)) {
        if (matches.length === question.limit) return { matches, more: true };
        matches.push(match);
      }
      return { matches, more: false };
    }
  }
}
