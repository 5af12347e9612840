/** By which column rows stand, and from which end. */
export interface Sorting {
  by: string;
  isDescending: boolean;
}
