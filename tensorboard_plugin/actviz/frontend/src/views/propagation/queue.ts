// Requests in order, few at a time: what can be seen before what is fetched ahead, and nothing that is no longer wanted.

export interface Ticket {
  /** Takes the request back where it has not begun. */
  cancel(): void;
}

interface Waiting {
  begin(): Promise<unknown>;
  ahead: boolean;
}

export class RequestQueue {
  private readonly waiting: Waiting[] = [];
  private running = 0;

  constructor(private readonly limit: number) {}

  /** Begins a request when its turn comes. `ahead`: after all that are not. */
  ask(begin: () => Promise<unknown>, ahead = false): Ticket {
    const entry = { begin, ahead };
    const behind = ahead ? -1 : this.waiting.findIndex((other) => other.ahead);
    this.waiting.splice(behind < 0 ? this.waiting.length : behind, 0, entry);
    this.next();
    return {
      cancel: () => {
        const index = this.waiting.indexOf(entry);
        if (index >= 0) this.waiting.splice(index, 1);
      },
    };
  }

  private next(): void {
    while (this.running < this.limit) {
      const entry = this.waiting.shift();
      if (entry === undefined) return;
      this.running++;
      void entry
        .begin()
        .catch(() => undefined) // whoever asked sees it
        .finally(() => {
          this.running--;
          this.next();
        });
    }
  }
}
