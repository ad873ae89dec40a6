// What a UDF is given and may answer: for editors, written by `headrace udf new`.

/** The document; in query pipelines the search body, in result pipelines the response, in hit scope one hit. */
export type Document = { [field: string]: any };

/** The parameters of the stage. */
export type Params = { [name: string]: any };

/** What later stages see too; the members named here are Headrace's. */
export interface Context {
  readonly index?: string;
  readonly id?: string;
  readonly routing?: string;
  readonly pipeline: string;
  /** In failure handlers: why the document failed. */
  readonly on_failure?: { stage: string; processor: string; type: string; reason: string; pipeline: string };
  [note: string]: any;
}

/** An object replaces the document, null leaves it; true keeps and false drops it; an array makes several of it. */
export type Result = Document | Document[] | string | number | boolean | null | undefined;
