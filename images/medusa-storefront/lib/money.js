export const money = (amount, currency) => new Intl.NumberFormat("en-IE", { style: "currency", currency }).format(amount)
