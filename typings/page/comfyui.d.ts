// What js/ uses of ComfyUI's page, in our own words; its published types have another licence.

declare module "*/scripts/app.js" {
  export const app: any;
}
declare module "*/scripts/api.js" {
  export const api: any;
}
