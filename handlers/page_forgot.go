package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/views"
)

// pageForgot asks for the address of a forgotten password.
func (s *Server) pageForgot(c echo.Context) error {
	return s.render(c, http.StatusOK, views.Forgot(views.ForgotProps{Page: s.page(c, "Forgot your password?", ""), SendsMail: s.service.SendsMail()}))
}

// submitForgot has a link sent, if there is such an account. The answer does
// not tell.
func (s *Server) submitForgot(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	props := views.ForgotProps{Page: s.page(c, "Forgot your password?", ""), Email: form.One("email"), SendsMail: s.service.SendsMail()}
	if err = required(field{"email", props.Email}); err == nil {
		err = s.service.RequestPasswordReset(c.Request().Context(), s.request(c), props.Email)
	}
	if err != nil {
		status, err := s.formProblem(c, &props.Page, err)
		if err != nil {
			return err
		}
		return s.render(c, status, views.Forgot(props))
	}
	props.Asked = true
	return s.render(c, http.StatusOK, views.Forgot(props))
}
